"""Which problem teaches most, and can it be known before: the studies of selection on the organism, one after another.

    python benchmarks/selection.py --work /tmp/selection --json results/selection.json

The history, one-shot runs of 100 problems from three seeds, probes of them, a forecast fitted on these and put to the
second organism, how few problems close the gap, rounds of ranking and training. About ten hours on two cores. Every
step is the `oneshot` command and goes on where it stopped. Expectations: `results/selection/EXPECTATIONS.md`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from scipy import stats

from oneshot_rlvr.problems import find_problems
from outcome import write

SIZES = ["--samples", "4", "--set", "run.validate_every=25"]
HISTORY, SEEDS, LOOP_SEEDS, LOOP = 200, 3, range(3), ["--samples", "8"]
MODELS = {"organism": 100, "second": 50}  # how many problems are studied


@dataclass(frozen=True)
class Studies:
    """Where the studies are kept."""

    work: Path

    def run(self, *arguments: object) -> None:
        """The `oneshot` command, to its end."""
        command = [sys.executable, "-m", "oneshot_rlvr", *map(str, arguments)]
        print(*command[2:], flush=True)
        subprocess.run(command, check=True)

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file that a command left."""
        return json.loads((self.work / name).read_text())

    def measured(self, model: str) -> None:
        """The gains of a model's problems, their probes, and what predicts the gains."""
        history, study, probes = (self.work / f"{model}-{part}" for part in ("history", "study", "probes"))
        if not (history / "checkpoints" / f"step_{HISTORY:06d}").exists():
            begin = ["grpo-full", "--model", model, "--steps", HISTORY, "--out", history]
            self.run("train", *(["--resume", history] if (history / "config.json").exists() else begin), "--quiet")
        asked = ["organism", "--model", model, "--history", history, "--problems", MODELS[model], "--seeds", SEEDS]
        self.run("select", "study", *asked, *SIZES, "--out", study, "--quiet")
        self.run("select", "probe", "--study", study, "--model", model, "--out", probes, "--quiet")
        self.run("select", "study", *asked, *SIZES, "--out", study, "--probes", probes / "probes.json", "--quiet")

    def forecast(self) -> None:
        """Fitted on the organism alone, put to the second organism."""
        fitted, probes = self.work / "forecast.json", "probes.json"
        own, other = (self.work / f"{model}-probes" / probes for model in MODELS)
        self.run("select", "fit", self.work / "organism-study", "--probes", own, "--out", fitted)
        asked = [self.work / "second-study", "--probes", other, "--fitted", fitted]
        self.run("select", "check", *asked, "--out", self.work / "check.json")

    def loops(self) -> None:
        """Rounds of ranking and training."""
        for seed in LOOP_SEEDS:
            self.run("select", "loop", "organism", "--seed", seed, *LOOP, "--out", self.work / f"loop-{seed}")

    def few(self) -> None:
        """How few problems close the gap, by the selector that predicts best."""
        history, probes = self.work / "organism-history", self.work / "organism-probes" / "probes.json"
        asked = ["organism", "--history", history, "--probes", probes, "--by", best(self.read(GAINS)["selectors"])]
        self.run("select", "few", *asked, "--seeds", SEEDS, *SIZES, "--out", self.work / "few", "--quiet")

    def figures(self) -> dict[str, Any]:
        """What all of them found, without the runs' own rows."""
        found, second = self.read(GAINS), self.read("second-study/selection.json")
        return {
            "problems": found["problems"],
            "seeds": found["seeds"],
            "selectors": found["selectors"],
            "learned": found.get("learned"),
            "agreement_of_seeds": found["agreement_of_seeds"],
            "ceiling": found["ceiling"],
            "forecast": {"second": self.read("check.json")},
            "second": {key: second[key] for key in ("problems", "seeds", "agreement_of_seeds", "ceiling", "selectors")},
            "few": self.read("few/few.json") if (self.work / "few" / "few.json").exists() else None,
            "loop": [self.read(f"loop-{seed}/loop.json") for seed in LOOP_SEEDS],
            "by_hardness": by_hardness(found["gains"]),
            "by_family": {model: by_family(self.read(f"{model}-study/selection.json")["gains"]) for model in MODELS},
            "gains": found["gains"],
        }


GAINS = "organism-study/selection.json"


def best(selectors: dict[str, dict[str, Any]]) -> str:
    """The selector whose ranking goes furthest with the gains: chosen by these, and then used on the same model."""
    return max(selectors.keys() - {"random"}, key=lambda name: selectors[name]["spearman"] or -1.0)


def by_hardness(gains: list[dict[str, Any]]) -> dict[str, dict[str, float | list[float]]]:
    """Gains of the hardest and easiest tenth, and of the thirds, by the history's mean accuracy, less the others'."""
    hardest = sorted(gains, key=lambda row: row["mean"])
    third, tenth = len(gains) // 3, len(gains) // 10
    parts = {
        "hardest tenth": hardest[:tenth],
        "hardest third": hardest[:third],
        "middle third": hardest[third:-third],
        "easiest third": hardest[-third:],
        "easiest tenth": hardest[-tenth:],
    }
    return {name: _against(part, [row for row in gains if row not in part]) for name, part in parts.items()}


def _against(part: list[dict[str, Any]], rest: list[dict[str, Any]]) -> dict[str, float | list[float]]:
    """The part's mean gain, and its difference from the rest's with Welch's 95 % interval."""
    ours, theirs = ([row["gain"] for row in rows] for rows in (part, rest))
    found = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = found.confidence_interval()
    difference = fmean(ours) - fmean(theirs)
    return {
        "gain": round(fmean(ours), 2),
        "over_rest": round(difference, 2),
        "interval": [round(low, 2), round(high, 2)],
    }


def by_family(gains: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean gain of each family of problems, the most first."""
    family = {problem.id: str(problem.category) for problem in find_problems("organism")}
    table: dict[str, list[float]] = {}
    for row in gains:
        table.setdefault(family[row["id"]], []).append(row["gain"])
    ranked = sorted(table, key=lambda name: -fmean(table[name]))
    return {name: {"problems": len(table[name]), "gain": round(fmean(table[name]), 2)} for name in ranked}


def draw(found: dict[str, Any], path: Path) -> None:
    """Every problem's gain over its rank, and every selector's correlation with the gains."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for row in found["gains"]:
        left.plot([row["rank"]] * 2, row["gain_interval"], color="#c9d3e3")
        left.plot(row["rank"], row["gain"], ".", color="#3566b8")
    left.set(xlabel="Rank by std", ylabel="Gain (points)", title="One example alone")
    known = {name: row for name, row in found["selectors"].items() if row["spearman"] is not None}
    names = sorted(known, key=lambda name: known[name]["spearman"])
    for name in names:
        right.plot(known[name]["interval"], [name] * 2, color="#c9d3e3")
        right.plot(known[name]["spearman"], name, "o", color="#3566b8")
    right.axvline(0, color="k", lw=0.8)
    right.set(xlabel="Spearman correlation with the gain", title="What predicts it")
    fig.tight_layout()
    fig.savefig(path)


def main() -> None:
    """Run what is missing, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a folder to go on in")
    parser.add_argument("--json", type=Path, help="beside it a figure; the forecast is WORK/forecast.json")
    parser.add_argument("--without-few", action="store_true", help="all but the last study, which takes half an hour")
    given = parser.parse_args()
    studies = Studies(given.work)
    for model in MODELS:
        studies.measured(model)
    studies.forecast()
    studies.loops()
    if not given.without_few:
        studies.few()
    found = studies.figures()
    write(found, given.json)
    if given.json:
        draw(found, given.json.with_suffix(".svg"))


if __name__ == "__main__":
    main()
