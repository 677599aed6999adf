"""Three phenomena of the paper on the organism: gain after saturation, gain across categories, reflection.

    python benchmarks/phenomena.py --runs runs/phenomena --out results/phenomena.json

For each training seed two runs of 300 steps on one example each: the highest-variance problem of level 1, and that of
level 3, where careful authors often fall into a trap and re-checkers seldom do. Every 20th checkpoint and the base are
asked the six suites, avg@8 at temperature 0.6. Resumable.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from oneshot_rlvr.config import resolve
from oneshot_rlvr.evaluation import Evaluator, Protocol, Sampling, checkpoints_of
from oneshot_rlvr.evaluation.evaluate import Row
from oneshot_rlvr.evaluation.scoring import percent, rates_of
from oneshot_rlvr.evaluation.statistics import interval_over_seeds
from oneshot_rlvr.evaluation.summary import saturation_step
from oneshot_rlvr.grading.features import mean, reflects
from oneshot_rlvr.organism import suites
from oneshot_rlvr.problems import find_problems, get_template
from oneshot_rlvr.runs import EvaluationFolder, Run
from oneshot_rlvr.runs.environment import environment
from oneshot_rlvr.selection import Candidates, accuracy_history, rank
from outcome import graded, trained

STEPS, EVERY = 300, 20
EXPECTATION = {
    "known before": "100 steps on pool-124 from seed 0 (results/organism.json): saturated at step 43, the test average "
    "rose by 1.6 points after it; every family rose, two of them little; reflection words in 2.9 % before and after.",
    "changed": "First meant to compare the highest-variance example with that of level 3. After four runs (curves "
    "seen, nothing else): in seeds 1 and 2 these are the same problem. So level 1 against level 3; the rest stands.",
    "after saturation": "Training accuracy saturates before step 100 in every run. The test average at the last step "
    "is above that of the first checkpoint after saturation by 0 to 5 points; the interval over seeds may hold 0.",
    "across categories": "Every family rises by at least 10 points on average over seeds, except choice and compare, "
    "whose answers are letters and words; the example's own family is not the one that rises most.",
    "reflection": "On the level-1 example reflection words do not rise (unlike the paper's late rise). On the "
    "level-3 example they rise to at least 20 % of test responses, and accuracy on level 3 rises more than with the "
    "other example.",
}
LEVELS = ("1", "3")


def examples_of(folder: Path, seed: int) -> dict[str, str]:
    """The two training examples, by the accuracy history of a run on the whole pool."""
    full = trained(folder / f"full_{seed}", seed, [f"run.save_every={EVERY}"])
    ranking = [row.id for row in rank(Candidates.of(None, accuracy_history(full)))]
    level = {problem.id: problem.level for problem in find_problems("organism")}
    return {f"level {wanted}": next(name for name in ranking if level[name] == wanted) for wanted in LEVELS}


def measured(run: Run, evaluator: Evaluator) -> dict[int, dict[str, list[Row]]]:
    """Graded rows of the base and every 20th checkpoint, by step and suite."""
    return {c.step: graded(evaluator, c) for c in checkpoints_of(run) if c.step % EVERY == 0}


def reduce(run: Run, rows_at: dict[int, dict[str, list[Row]]]) -> dict[str, Any]:
    """What is kept of a run: rates by problem at three steps, and curves."""
    lines = run.metrics()
    saturated = saturation_step([m["step"] for m in lines], [m["outcome/correct"] for m in lines])
    first = next((step for step in rows_at if saturated is not None and step >= saturated), None)
    texts = {
        step: [r["text"] for rows in found.values() for row in rows for r in row["samples"]]
        for step, found in rows_at.items()
    }
    return {
        "saturation_step": saturated,
        "first_after": first,
        "rates": {
            step: {suite: rates_of(rows) for suite, rows in rows_at[step].items()}
            for step in {0, first, max(rows_at)}
            if step is not None
        },
        "by_category": {step: _by(rows_at[step], "category") for step in (0, max(rows_at))},
        "by_level": {step: _by(rows_at[step], "level") for step in (0, max(rows_at))},
        "curve": {
            step: 100 * mean([mean(rates_of(rows)) for rows in found.values()]) for step, found in rows_at.items()
        },
        "reflection": {step: mean([reflects(text) for text in found]) for step, found in texts.items()},
        "training_accuracy": [m["outcome/correct"] for m in lines],
    }


def _reflection(found: dict[str, list[Row]]) -> float:
    return mean([reflects(r["text"]) for rows in found.values() for row in rows for r in row["samples"]])


def _by(found: dict[str, list[Row]], field: str) -> dict[str, list[float]]:
    """Rates of the problems of each category or level, over all suites."""
    table: dict[str, list[float]] = {}
    for rows in found.values():
        for row, rate in zip(rows, rates_of(rows), strict=True):
            table.setdefault(row[field], []).append(rate)
    return dict(sorted(table.items()))


def gains(runs: list[dict[str, Any]], field: str) -> dict[str, dict[str, Any]]:
    """Points gained by each category or level, with intervals over seeds and problems."""
    last = max(runs[0][field])
    return {
        name: {
            "base": 100 * mean([mean(run[field][0][name]) for run in runs]),
            "after": 100 * mean([mean(run[field][last][name]) for run in runs]),
            "gain_interval": percent(
                interval_over_seeds(
                    [{"all": run[field][last][name]} for run in runs], [{"all": run[field][0][name]} for run in runs]
                )
            ),
        }
        for name in runs[0][field][0]
    }


def own_family(run: dict[str, Any]) -> dict[str, Any]:
    """How the example's own family gained among all families, in points."""
    last, family = max(run["by_category"]), run["family"]
    gained = {
        name: 100 * (mean(run["by_category"][last][name]) - mean(rates))
        for name, rates in run["by_category"][0].items()
    }
    others = [value for name, value in gained.items() if name != family]
    ranks = sorted(gained, key=lambda name: -gained[name])
    return {"family": family, "gain": gained[family], "others": mean(others), "rank": ranks.index(family) + 1}


def conclusions(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures over seeds for one kind of example."""
    last = max(runs[0]["curve"])
    saturated = [run for run in runs if run["first_after"] is not None]
    after: dict[str, Any] = {"saturation_steps": [run["saturation_step"] for run in runs]}
    if saturated:
        ends, firsts = (
            [run["rates"][last] for run in saturated],
            [run["rates"][run["first_after"]] for run in saturated],
        )
        after["gains"] = [run["curve"][last] - run["curve"][run["first_after"]] for run in saturated]
        after["interval"] = percent(interval_over_seeds(ends, firsts))
    return {
        "after_saturation": after,
        "averages": {"base": [run["curve"][0] for run in runs], "last": [run["curve"][last] for run in runs]},
        "by_category": gains(runs, "by_category"),
        "own_family": [own_family(run) for run in runs],
        "by_level": gains(runs, "by_level"),
        "reflection": {step: [run["reflection"][step] for run in runs] for step in runs[0]["curve"]},
        "curves": {step: [run["curve"][step] for run in runs] for step in runs[0]["curve"]},
    }


def picture(found: dict[str, dict[str, Any]], training: dict[str, list[list[float]]], path: Path) -> None:
    """Curves, families, reflection."""
    import matplotlib.pyplot as plt

    figure, (curves, families, words) = plt.subplots(3, 1, figsize=(8, 11), layout="constrained")
    for place, (name, colour) in enumerate(zip(found, ("#2563c9", "#d9730d"), strict=False)):
        one = found[name]
        for accuracy in training[name]:
            curves.plot(range(1, len(accuracy) + 1), [100 * a for a in accuracy], ":", color=colour, lw=0.8, alpha=0.5)
        for axes, table, factor in ((curves, one["curves"], 1), (words, one["reflection"], 100)):
            for seed in range(len(training[name])):
                label = f"{name} example" if seed == 0 else None
                axes.plot(list(table), [factor * value[seed] for value in table.values()], color=colour, label=label)
        rows = one["by_category"]
        gained = [row["after"] - row["base"] for row in rows.values()]
        families.bar([x + 0.4 * place for x in range(len(rows))], gained, 0.4, color=colour)
        families.set_xticks([x + 0.2 for x in range(len(rows))], list(rows), rotation=30)
    curves.set(ylabel="test avg@8, %; dotted: training accuracy", xlabel="step", title="One example, three seeds")
    families.set(ylabel="gain, points", title="By family, mean of the seeds")
    words.set(ylabel="% of test responses", xlabel="step", title="Responses with rethink, recheck or recalculate")
    curves.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Run the seeds, print and write tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/phenomena"))
    parser.add_argument("--out", type=Path, default=Path("results/phenomena.json"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--limit", type=int, help="only the first problems of each suite, for a try")
    options = parser.parse_args()
    config, _ = resolve("grpo", "organism", [])
    asked = Evaluator(
        suites={name: find_problems(name)[: options.limit] for name in suites()},
        template=get_template(config.model.template),
        protocol=Protocol(sampling=Sampling(greedy=False), max_new_tokens=config.sampling.max_new_tokens),
        folder=EvaluationFolder(options.runs / "eval"),
        config=config,
    )
    families = {problem.id: problem.category for problem in find_problems("organism")}
    chosen: dict[int, dict[str, str]] = {}
    kept: dict[str, list[dict[str, Any]]] = {f"level {level}": [] for level in LEVELS}
    for seed in options.seeds:
        evaluator = replace(asked, protocol=replace(asked.protocol, seed=seed))
        chosen[seed] = examples_of(options.runs, seed)
        for name, problem in chosen[seed].items():
            folder = options.runs / f"{name.replace(' ', '_')}_{seed}"
            run = trained(folder, seed, [f"run.save_every={EVERY}", f"data.only=[{problem}]"], STEPS)
            one: dict[str, Any] = {**reduce(run, measured(run, evaluator)), "family": families[problem]}
            kept[name].append(one)
            curve = {step: round(value, 1) for step, value in one["curve"].items()}
            print(f"seed {seed}, {name} ({problem}): saturated at {one['saturation_step']}, {curve}", flush=True)
    found = {name: conclusions(runs) for name, runs in kept.items()}
    here = environment("cpu", torch.get_num_threads())
    result = {"expectation": EXPECTATION, "examples": chosen, "found": found, "environment": here}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    training = {name: [run["training_accuracy"] for run in runs] for name, runs in kept.items()}
    picture(found, training, options.out.with_suffix(".svg"))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
