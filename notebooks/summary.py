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
# # Path selectors: what was found
#
# The other notebooks are small enough to be run in minutes. This one draws the studies at full size, three seeds each,
# from the files under `results/selectors`; `EXPECTATIONS.md` beside them was written before they were run.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import oneshot_rlvr as oneshot

RESULTS = Path(oneshot.__file__).parents[2] / "results" / "selectors"


def read(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


# %% [markdown]
# **Which answer to believe.** Eight candidates, one is picked. The bars are the picks that are right; the line is the
# majority vote; the number is what a selector is worth against it, over seeds and problems.

# %%
NAMES = ["random", "logprob", "verifier(shots=1)", "probe(shots=1)", "hidden(shots=1)", "hidden", "probe", "oracle"]
COLOURS = ["#9aa0a8"] * 2 + ["#d98b2b"] * 3 + ["#3566b8"] * 2 + ["#9aa0a8"]
both = {"the organism": read("comparison"), "the second organism": read("second")}
fig, axes = plt.subplots(1, 2, figsize=(11, 3.9), sharey=True, sharex=True)
for ax, (title, rows) in zip(axes, both.items(), strict=True):
    shown = [(name, colour) for name, colour in zip(NAMES, COLOURS, strict=True) if name in rows]
    for name, colour in shown:
        row = rows[name]
        low, high = (100 * end for end in row["interval"])
        ax.barh(name, 100 * row["best_of"]["8"], color=colour)
        ax.text(
            100 * row["best_of"]["8"] + 1,
            name,
            f"{100 * row['over_majority']:+.0f} ({low:+.0f}, {high:+.0f})",
            va="center",
            fontsize=8,
        )
    ax.axvline(100 * rows["majority"]["best_of"]["8"], color="k", ls=":", label="majority of 8")
    ax.set(title=title, xlabel="Right (%)", xlim=(0, 105))
    ax.legend(fontsize=8)
axes[0].invert_yaxis()
plt.show()

# %% [markdown]
# **How many problems a selector must have seen.** A probe on the hidden state needs one; one on 15 features needs more.

# %%
rows = both["the organism"]
fig, ax = plt.subplots(figsize=(6, 3.6))
for kind, colour in {"hidden": "#2f8f57", "probe": "#3566b8", "chooser": "#c4453c", "pairwise": "#d98b2b"}.items():
    names = {"1": f"{kind}(shots=1)", "16": f"{kind}(shots=16)", "all 256": kind}
    known = {shots: 100 * rows[name]["best_of"]["8"] for shots, name in names.items() if name in rows}
    ax.plot([list(names).index(shots) for shots in known], list(known.values()), marker="o", label=kind, color=colour)
ax.axhline(100 * rows["majority"]["best_of"]["8"], color="k", ls=":", label="majority of 8")
ax.set_xticks(range(3), ["1", "16", "all 256"])
ax.set(xlabel="Problems whose paths it has seen", ylabel="Pick of 8 right (%)", title="Labels that a selector needs")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# **The loop is closed.** One problem's answer is known. Each way takes about as many sampled tokens as one-shot GRPO on
# that problem. A dot is a seed.

# %%
seeds = read("closed")["seeds"]
ways, width = list(seeds[0]["ways"]), 0.27
fig, ax = plt.subplots(figsize=(8, 4))
for place, (key, label) in enumerate(
    {"average": "one path", "majority": "majority", "best_of": "selector's pick"}.items()
):
    values = np.array([[100 * seed["ways"][way][key] for way in ways] for seed in seeds])
    at = np.arange(len(ways)) + (place - 1) * width
    ax.bar(at, values.mean(axis=0), width, label=label)
    for seed in values:
        ax.plot(at, seed, "k.", ms=4)
ax.set_xticks(range(len(ways)), [way.replace("_", "-") for way in ways])
ax.set(ylabel="Right (%)", title="The selector teaches the model", ylim=(0, 100))
ax.legend(loc="upper left", ncols=3)
plt.show()

# %%
for way in [name for name in ways if "minus_one_shot" in seeds[0]["ways"][name]]:
    each = [seed["ways"][way] for seed in seeds]
    told = (
        f"{100 * e['minus_one_shot']:+5.1f} ({100 * e['interval'][0]:+.1f} to {100 * e['interval'][1]:+.1f})"
        for e in each
    )
    print(f"{way:7} against one-shot GRPO, by seed:", *told, sep="  ")

# %% [markdown]
# **Too much of a reward.** While the selector's belief is the reward, it goes on rising; past some point the model no
# longer becomes better but more believable.

# %%
fig, axes = plt.subplots(1, len(seeds), figsize=(11, 3.3), sharey=True)
for ax, seed in zip(axes, seeds, strict=True):
    course = seed["reward_course"]
    belief = np.array(course["belief"])
    ax.plot(course["step"], 100 * np.array(course["correct"]), color="#2f8f57", label="right, which nobody looked at")
    ax.plot(
        course["step"], 100 * belief / belief.max(), color="#c4453c", ls="--", label="belief (share of its highest)"
    )
    ax.set(xlabel="Step", title=f"Seed {seed['seed']}", ylim=(0, 105))
axes[0].set(ylabel="Training rollouts (%)")
axes[1].legend(fontsize=8, loc="lower right")
plt.show()
