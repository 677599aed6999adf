"""What a run's scores over steps say: which checkpoint is best by which rule, and what came after saturation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oneshot_rlvr.evaluation.checkpoints import best_by_validation
from oneshot_rlvr.evaluation.metrics import beyond_format
from oneshot_rlvr.evaluation.scoring import accuracy_key
from oneshot_rlvr.rundir import RunDir, step_name, step_of, write_json

Row = dict[str, Any]
SATURATED = 0.95  # training accuracy, over WINDOW steps
WINDOW = 5


def saturation_step(steps: Sequence[int], accuracy: Sequence[float]) -> int | None:
    """The first step at which the mean training accuracy of the last five steps is at least 95 %; None if never."""
    for end in range(WINDOW, len(steps) + 1):
        if sum(accuracy[end - WINDOW : end]) / WINDOW >= SATURATED:
            return steps[end - 1]
    return None


def trained_scores(scores: Mapping[str, Mapping[str, Row]]) -> dict[str, Mapping[str, Row]]:
    """The trained checkpoints' scores, in order of steps."""
    found = {name: score for name, score in scores.items() if step_of(name) > 0}
    return dict(sorted(found.items(), key=lambda item: step_of(item[0])))


def summarise(run: RunDir, scores: Mapping[str, Mapping[str, Row]], boxes: bool = True) -> Row:
    """Best checkpoints, saturation, gains; figures are test averages in percent.

    `chosen` is what validation chose (`best_by_validation`, the honest rule), or the last step of a run without it.
    `best_by_test_average` is the paper's: the test sets choose the checkpoint, so its figure is too good.
    `best_by_benchmark` is the paper's independent best of each benchmark, more so. `gain_after_saturation` is the
    chosen checkpoint's (or, if it came before, the last one's) over the first evaluated
    at or after saturation. `boxes` says whether answers are expected in a box; `format_corrected_gain` is the mean of
    the suites' (`beyond_format`), None if it is not known for each.
    """
    trained = trained_scores(scores)
    averages = {name: value_of(score["average"]) for name, score in trained.items()}
    summary: Row = {"average_of": accuracy_key(next(iter(scores.values()))["average"])}
    if not trained:
        return summary
    validated = step_name(best_by_validation(run) or 0)
    chosen = validated if validated in trained else list(trained)[-1]
    top = max(averages, key=lambda name: (averages[name], -step_of(name)))
    suites = [suite for suite in next(iter(trained.values())) if suite != "average"]
    own = {"checkpoint": chosen, "average": averages[chosen]}
    summary |= {
        "chosen": own,
        "best_by_validation": own if chosen == validated else None,
        "best_by_test_average": {
            "checkpoint": top,
            "average": averages[top],
            "rule": "the paper's: chosen on the tests",
        },
        "best_by_benchmark": {suite: _best_of(trained, suite) for suite in suites},
    }
    if "base" in scores:
        base = value_of(scores["base"]["average"])
        summary |= {"base": base, "gain": averages[chosen] - base}
        left = [
            beyond_format(scores["base"][suite], trained[chosen][suite], accuracy_key(trained[chosen][suite]))
            for suite in suites
        ]
        known = [value for value in left if value is not None]
        summary["format_corrected_gain"] = sum(known) / len(left) if boxes and len(known) == len(left) else None
        baselines = {name: value_of(score["average"]) for name, score in scores.items() if step_of(name) == 0}
        summary["base_by_template"] = baselines
        summary["gain_over_best_template"] = averages[chosen] - max(baselines.values())
    return summary | _after_saturation(run, averages, chosen)


def value_of(score: Row) -> float:
    """A score's sampled accuracy in percent."""
    return score[accuracy_key(score)]


def _best_of(trained: Mapping[str, Mapping[str, Row]], suite: str) -> Row:
    name = max(trained, key=lambda name: (value_of(trained[name][suite]), -step_of(name)))
    return {"checkpoint": name, "accuracy": value_of(trained[name][suite])}


def _after_saturation(run: RunDir, averages: Mapping[str, float], chosen: str) -> Row:
    lines = [line for line in run.metrics() if "outcome/correct" in line]
    step = saturation_step([line["step"] for line in lines], [line["outcome/correct"] for line in lines])
    found: Row = {"saturation_step": step, "gain_after_saturation": None}
    later = [] if step is None else [name for name in averages if step_of(name) >= step]
    end = chosen if chosen in later[1:] else later[-1] if len(later) > 1 else None
    if end is not None:
        found |= {"saturated_at": later[0], "gain_after_saturation": averages[end] - averages[later[0]]}
    return found


def write_summary(out: Path, summary: Row) -> None:
    """`summary.json` beside the scores."""
    write_json(out / "summary.json", summary)
