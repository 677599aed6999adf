"""Scores for others: lm-eval's JSON, experiment trackers, a model card."""

from __future__ import annotations

import json
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import write_json
from oneshot_rlvr.problems.benchmarks import title_of
from oneshot_rlvr.runs import EvaluationFolder, Scores, step_of
from oneshot_rlvr.runs.loggers import Target, check_loggers, open_loggers

Row = dict[str, Any]
SHARES = ("avg", "pass@", "maj@", "greedy", "boxed_accuracy")  # in percent here, in shares there


def scores_in(folder: EvaluationFolder) -> Scores:
    """All scores of an evaluation.

    Raises:
        OneshotError: there are none.
    """
    scores = folder.scores()
    if not scores:
        raise OneshotError("no scores in this folder", where=folder.path, fix="Run `oneshot eval` first.")
    return scores


def write_lm_eval(folder: EvaluationFolder) -> None:
    """`lm_eval/CHECKPOINT.json`: results as the language-model evaluation harness writes them, shares not percent.

    `stderr` is a quarter of the 95 % interval's width, which is how a reader of such a file turns it back.
    """
    record = folder.protocol()
    for checkpoint, found in scores_in(folder).labelled().items():
        results, samples = {}, {}
        for suite, score in found.suites.items():
            low, high = score.interval
            entry: Row = {"alias": title_of(suite)}
            for name, value in score.numbers().items():
                entry[f"{name},none"] = value / 100 if name.startswith(SHARES) else value
            entry[f"{score.metric}_stderr,none"] = (high - low) / 400
            results[suite] = entry
            samples[suite] = {"original": score.n, "effective": score.n}
        report = {
            "results": results,
            "n-samples": samples,
            "config": {"model": checkpoint, "protocol": record["protocol"], "template": record["template"]},
        }
        write_json(folder.path / "lm_eval" / f"{checkpoint.replace('@', '-')}.json", report)


def log_scores(folder: EvaluationFolder, logger: str) -> None:
    """Every trained checkpoint's scores to a tracker, at its step, as `eval/SUITE/METRIC`.

    Raises:
        OneshotError: an unknown tracker, or one that is not installed.
    """
    scores, path = scores_in(folder), folder.path
    check_loggers([logger])
    name = f"{path.resolve().parent.name}-{path.name}"
    identity = json.dumps([str(path.resolve()), scores.to_json()])
    with open_loggers([logger], Target(path, name, identity, folder.protocol(), -1)) as log:
        for label, found in scores.labelled(baselines=False).items():
            values = {
                f"eval/{title_of(suite)}/{metric}": value
                for suite, score in found.all().items()
                for metric, value in score.numbers().items()
            }
            log(step_of(label), values)
