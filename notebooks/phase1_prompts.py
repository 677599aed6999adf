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
# # Phase 1: ways of asking
#
# The same problems, asked with several templates, temperatures and numbers of solved examples. What is looked for is
# not the best average alone but *useful variety*: candidates among which one is right.

# %%
import os

import matplotlib.pyplot as plt

import oneshot_rlvr as oneshot

TINY = os.environ.get("ONESHOT_NOTEBOOK") == "tiny"
MODEL, SAMPLES, LIMIT = ("tiny", 2, 4) if TINY else ("organism", 8, 64)
WAYS = {
    "templates": ["plain"] if TINY else ["plain", "boxed"],
    "temperatures": [1.0] if TINY else [0.3, 0.6, 1.0, 1.4],
    "shots": [0, 1] if TINY else [0, 2],
    "examples": "organism",
}

# %%
rows = oneshot.prompt_study(
    MODEL, suites=["organism:numbers"], samples=SAMPLES, limit=LIMIT, out="runs/notebooks/phase1", **WAYS
)
for row in rows:
    way = f"{row['template']:6} T={row['temperature']:<4g} {row['shots']} examples"
    print(f"{way}: avg {100 * row['accuracy']:5.1f}  pass {100 * row['any']:5.1f}  distinct {row['distinct']:.1f}")

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True)
for template, shots in dict.fromkeys((row["template"], row["shots"]) for row in rows):
    own = [row for row in rows if (row["template"], row["shots"]) == (template, shots)]
    degrees = [row["temperature"] for row in own]
    (line,) = axes[0].plot(degrees, [100 * row["accuracy"] for row in own], "o-", label=f"{template}, {shots} examples")
    axes[0].plot(degrees, [100 * row["any"] for row in own], "o:", color=line.get_color())
    axes[1].plot(degrees, [row["distinct"] for row in own], "o-", color=line.get_color())
axes[0].set(xlabel="Temperature", ylabel="Right (%)", title=f"avg@{SAMPLES} (solid), pass@{SAMPLES} (dotted)")
axes[1].set(xlabel="Temperature", ylabel="Answers", title=f"Distinct answers among {SAMPLES}")
axes[0].legend(fontsize=8)
plt.show()
