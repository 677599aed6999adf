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
# # Phase 4: which answer to believe
#
# Selectors are fitted on the paths of some problems and judged on others. `shots=1` has seen the paths of *one*.

# %%
import json
import os
from pathlib import Path

import matplotlib.pyplot as plt

import oneshot_rlvr as oneshot

TINY = os.environ.get("ONESHOT_NOTEBOOK") == "tiny"
MODEL, SAMPLES, LIMIT, SEEDS = ("tiny", 8, 24, 1) if TINY else ("organism", 32, 96, 3)
NAMES = ["logprob", "majority", "probe(shots=1)", "probe", "hidden(shots=1)", "chooser", "oracle"]
if not TINY:
    NAMES[-1:] = ["verifier(shots=1)", "oracle"]

# %%
train = oneshot.collect_paths(
    MODEL, problems="organism", samples=SAMPLES, limit=LIMIT, out="runs/notebooks/phase4_train"
)
suites = ["organism:numbers"] if TINY else ["organism:numbers", "organism:hard", "organism:stories"]
test = oneshot.collect_paths(MODEL, suites=suites, samples=SAMPLES, limit=LIMIT // 3, out="runs/notebooks/phase4_test")
rows = oneshot.compare_selectors(
    test, train=train, selectors=NAMES, model=MODEL, seeds=SEEDS, out="runs/notebooks/phase4"
)
print(f"{'selector':20} AUROC   of 1   of 8   over majority")
for name, row in rows.items():
    low, high = (100 * end for end in row["interval"])
    first, eighth = (f"{100 * row['best_of'][n]:5.1f}" for n in ("1", "8"))
    over = f"{100 * row['over_majority']:+5.1f} ({low:+.1f} to {high:+.1f})"
    print(f"{name:20} {row['auroc']:.3f}  {first}  {eighth}   {over}")

# %% [markdown]
# **Best of n.** The dotted lines are what a selector is measured by: the majority vote and the oracle.

# %%
fig, ax = plt.subplots(figsize=(8, 4.2))
for name, row in rows.items():
    style = {"majority": {"color": "k", "ls": ":"}, "oracle": {"color": "#9aa0a8", "ls": ":"}}.get(name, {})
    sizes, values = [int(n) for n in row["best_of"]], [100 * v for v in row["best_of"].values()]
    ax.plot(sizes, values, marker="o", label=name, **style)
ax.set(xscale="log", xlabel="Candidates n", ylabel="Right (%)", title="The pick among n candidates")
ax.set_xticks(sizes, sizes)
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# **Can its probabilities be taken at their word?** On the diagonal they can. A dot is as large as the share of paths.

# %%
shown = ["logprob", "probe", "hidden(shots=1)"]
fig, axes = plt.subplots(1, len(shown), figsize=(10, 3.5), sharey=True)
for ax, name in zip(axes, shown, strict=True):
    bins = rows[name]["reliability"]
    ax.plot([0, 1], [0, 1], ":", color="#9aa0a8")
    sizes = [8 + 400 * b["n"] / sum(one["n"] for one in bins) for b in bins]
    ax.scatter([b["said"] for b in bins], [b["right"] for b in bins], sizes, color="#3566b8", alpha=0.6)
    ax.set(xlabel="Probability that was said", title=f"{name}: ECE {rows[name]['ece']:.3f}")
axes[0].set(ylabel="Share that is right")
plt.show()

# %% [markdown]
# **Why did it choose so?** The largest weights of a probe that has seen all problems.

# %%
weights = json.loads(Path("runs/notebooks/phase4/explained.json").read_text())["probe"]["weights"][::-1]
fig, ax = plt.subplots(figsize=(7, 3.2))
colours = ["#2f8f57" if weight > 0 else "#c4453c" for _, weight in weights]
ax.barh([name for name, _ in weights], [weight for _, weight in weights], color=colours)
ax.set(xlabel="Weight (of a standardised feature)", title="What the probe believes in")
plt.show()
