# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Phase 0: what the untrained model does
#
# The model is asked each problem many times. Three questions: how often is it right, how much would asking again help,
# and do its right paths look different from its wrong ones? Only if they do can a selector learn anything.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import oneshot_rlvr as oneshot

TINY = os.environ.get("ONESHOT_NOTEBOOK") == "tiny"  # as `make test` runs it
MODEL, SAMPLES, LIMIT = ("tiny", 4, 6) if TINY else ("organism", 32, 64)
SUITES = ["organism:numbers"] if TINY else ["organism:numbers", "organism:hard", "organism:stories"]

# %%
groups = oneshot.collect_paths(MODEL, suites=SUITES, samples=SAMPLES, limit=LIMIT, out="runs/notebooks/phase0")
paths = [path for group in groups for path in group.paths]
print(f"{len(groups)} problems, {len(paths)} paths, {100 * np.mean([p.right for p in paths]):.1f} % right")

# %% [markdown]
# **How often is each problem solved?** The problems in the middle are the ones that training and selection can move.

# %%
fig, ax = plt.subplots(figsize=(7, 3.2))
ax.hist([100 * group.rate for group in groups], bins=np.linspace(0, 100, 21), color="#3b6fd4")
ax.set(xlabel="Right paths of a problem (%)", ylabel="Problems", title=f"{MODEL}: {SAMPLES} paths of each problem")
plt.show()

# %% [markdown]
# **What would asking again give?** Between the majority vote and the oracle lies what a selector could win.

# %%
rows = oneshot.compare_selectors(
    groups, selectors=["random", "majority", "oracle"], seeds=1, out="runs/notebooks/phase0_selectors"
)
fig, ax = plt.subplots(figsize=(7, 3.6))
for name, label in (("random", "one path (avg@1)"), ("majority", "majority vote"), ("oracle", "oracle (pass@n)")):
    best = rows[name]["best_of"]
    ax.plot([int(n) for n in best], [100 * v for v in best.values()], "o-", label=label)
ax.set(xscale="log", xlabel="Candidates n", ylabel="Right (%)", title="What more candidates are worth")
ax.set_xticks([int(n) for n in best], list(best))
ax.legend()
plt.show()

# %% [markdown]
# **Do right paths look different?** Length, and how sure the model was of each token.

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for right, colour, label in ((True, "#2f8f57", "right"), (False, "#c4453c", "wrong")):
    own = [path for path in paths if path.right is right and path.logprobs]
    if not own:
        continue
    style = {"density": True, "alpha": 0.55, "color": colour, "label": label}
    axes[0].hist([path.tokens for path in own], bins=30, **style)
    axes[1].hist([np.mean(path.logprobs) for path in own], bins=30, **style)
axes[0].set(xlabel="Tokens", ylabel="Density")
axes[1].set(xlabel="Mean log-probability (nats a token)")
axes[0].legend()
fig.suptitle("Right and wrong paths")
plt.show()
