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
# # Phase 5: the loop is closed
#
# One problem's answer is known. A selector that has seen the paths of that one problem teaches the model on all others,
# whose answers nobody looks at: as a reward, by the paths that it picks, and in turn with the model. Each way takes as
# many sampled tokens as one-shot GRPO on the labelled problem.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import oneshot_rlvr as oneshot

TINY = os.environ.get("ONESHOT_NOTEBOOK") == "tiny"
SIZES = {"steps": 2, "rounds": 1, "paths": 32, "limit": 4, "samples": 2} if TINY else {"steps": 60, "limit": 32}
MODEL, LABELLED = ("tiny", "organism:pi_1-pi_4") if TINY else ("organism", "one-shot")
SUITES = ["organism:numbers"] if TINY else ["organism:numbers", "organism:hard", "organism:stories"]
QUICK = {"batch.groups_per_step": 2, "sampling.max_new_tokens": 40} if TINY else {}

# %%
found = oneshot.close_loop(
    MODEL, labelled=LABELLED, suites=SUITES, settings=QUICK, out="runs/notebooks/phase5", heard=print, **SIZES
)
for name, row in found["ways"].items():
    shares = (f"{key.replace('_', ' ')} {100 * row[key]:5.1f}" for key in ("average", "majority", "best_of"))
    print(f"{name:9}", *shares, sep="  ")

# %%
ways, width = found["ways"], 0.27
fig, ax = plt.subplots(figsize=(8, 4))
bars = {"average": "one path", "majority": "majority", "best_of": "selector's pick"}
for place, (key, label) in enumerate(bars.items()):
    heights = [100 * row[key] for row in ways.values()]
    ax.bar(np.arange(len(ways)) + (place - 1) * width, heights, width, label=label)
ax.set_xticks(range(len(ways)), list(ways))
ax.set(ylabel="Right (%)", title=f"Selector {found['selector']}, {len(found['labelled'])} labelled problems")
ax.legend()
plt.show()
