"""What a run's scores over steps say: which checkpoint is best by which rule, and what came after saturation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oneshot_rlvr.evaluation.metrics import beyond_format
from oneshot_rlvr.runs import ModelScores, Run, Scores, step_name, step_of

Row = dict[str, Any]
SATURATED = 0.95  # training accuracy, over WINDOW steps
WINDOW = 5


def saturation_step(steps: Sequence[int], accuracy: Sequence[float]) -> int | None:
    """The first step at which the mean training accuracy of the last five steps is at least 95 %; None if never."""
    for end in range(WINDOW, len(steps) + 1):
        if sum(accuracy[end - WINDOW : end]) / WINDOW >= SATURATED:
            return steps[end - 1]
    return None


def summarise(run: Run, scores: Scores, boxes: bool = True) -> Row:
    """Best checkpoints, saturation, gains; figures are test averages in percent.

    `chosen` is the checkpoint that counts (`Run.chosen_step`: validation's, the honest rule, or the last step of a run
    without it). `best_by_test_average` is the paper's: the test sets choose the checkpoint, so its figure is too good.
    `best_by_benchmark` is the paper's independent best of each benchmark, more so. `gain_after_saturation` is the
    chosen checkpoint's (or, if it came before, the last one's) over the first evaluated at or after saturation. `boxes`
    says whether answers are expected in a box; `format_corrected_gain` is the mean of the suites' (`beyond_format`),
    None if it is not known for each.
    """
    trained = scores.checkpoints
    summary: Row = {"average_of": scores.first.average.metric}
    chosen = run.chosen_step(trained)
    if chosen is None:
        return summary
    averages = {step: found.average.accuracy for step, found in trained.items()}
    top = max(averages, key=lambda step: (averages[step], -step))
    own = {"checkpoint": step_name(chosen), "average": averages[chosen]}
    summary |= {
        "chosen": own,
        "best_by_validation": own if chosen == run.validated_step() else None,
        "best_by_test_average": {
            "checkpoint": step_name(top),
            "average": averages[top],
            "rule": "the paper's: chosen on the tests",
        },
        "best_by_benchmark": {suite: _best_of(trained, suite) for suite in scores.first.suites},
    }
    if scores.base is not None:
        base = scores.base.average.accuracy
        summary |= {"base": base, "gain": averages[chosen] - base}
        suites = trained[chosen].suites
        left = [beyond_format(scores.base.suites[suite], after) for suite, after in suites.items()]
        known = [value for value in left if value is not None]
        summary["format_corrected_gain"] = sum(known) / len(left) if boxes and len(known) == len(left) else None
        baselines = {name: found.average.accuracy for name, found in scores.labelled().items() if not step_of(name)}
        summary["base_by_template"] = baselines
        summary["gain_over_best_template"] = averages[chosen] - max(baselines.values())
    return summary | _after_saturation(run, averages, chosen)


def _best_of(trained: Mapping[int, ModelScores], suite: str) -> Row:
    step = max(trained, key=lambda step: (trained[step].suites[suite].accuracy, -step))
    return {"checkpoint": step_name(step), "accuracy": trained[step].suites[suite].accuracy}


def _after_saturation(run: Run, averages: Mapping[int, float], chosen: int) -> Row:
    lines = [line for line in run.metrics() if "outcome/correct" in line]
    step = saturation_step([line["step"] for line in lines], [line["outcome/correct"] for line in lines])
    found: Row = {"saturation_step": step, "gain_after_saturation": None}
    later = [] if step is None else [evaluated for evaluated in averages if evaluated >= step]
    end = chosen if chosen in later[1:] else later[-1] if len(later) > 1 else None
    if end is not None:
        gain = averages[end] - averages[later[0]]
        found |= {"saturated_at": step_name(later[0]), "gain_after_saturation": gain}
    return found
