"""Scores for others: lm-eval's JSON, experiment trackers, a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.scoring import accuracy_key
from oneshot_rlvr.evaluation.store import read_scores
from oneshot_rlvr.loggers import Target, check_loggers, open_loggers
from oneshot_rlvr.problems.benchmarks import title_of
from oneshot_rlvr.rundir import read_json, step_of, write_json

Row = dict[str, Any]
METRICS = ("avg@", "pass@", "maj@", "greedy", "boxed", "truncated", "reflection", "length")


def scores_in(folder: Path) -> dict[str, dict[str, Row]]:
    """All scores of an evaluation.

    Raises:
        OneshotError: there are none.
    """
    if not (folder / "scores.json").exists():
        raise OneshotError("no scores in this folder", where=folder, fix="Run `oneshot eval` first.")
    return read_scores(folder)


def write_lm_eval(folder: Path) -> None:
    """`lm_eval/CHECKPOINT.json`: results as the language-model evaluation harness writes them, shares not percent.

    `stderr` is a quarter of the 95 % interval's width, which is how a reader of such a file turns it back.
    """
    scores, record = scores_in(folder), read_json(folder / "protocol.json")
    for checkpoint, suites in scores.items():
        results, samples = {}, {}
        for suite, score in suites.items():
            if suite == "average":
                continue
            low, high = score["interval"]
            entry: Row = {"alias": title_of(suite)}
            for name, value in _numbers(score).items():
                share = value / 100 if name.startswith(("avg@", "pass@", "maj@", "greedy", "boxed_accuracy")) else value
                entry[f"{name},none"] = share
            entry[f"{accuracy_key(score)}_stderr,none"] = (high - low) / 400
            results[suite] = entry
            samples[suite] = {"original": score["n"], "effective": score["n"]}
        report = {
            "results": results,
            "n-samples": samples,
            "config": {"model": checkpoint, "protocol": record["protocol"], "template": record["template"]},
        }
        write_json(folder / "lm_eval" / f"{checkpoint.replace('@', '-')}.json", report)


def _numbers(score: Row) -> dict[str, float]:
    return {k: v for k, v in score.items() if isinstance(v, float) and k.startswith(METRICS) and ":" not in k}


def log_scores(folder: Path, logger: str) -> None:
    """Every trained checkpoint's scores to a tracker, at its step, as `eval/SUITE/METRIC`.

    Raises:
        OneshotError: an unknown tracker, or one that is not installed.
    """
    scores, record = scores_in(folder), read_json(folder / "protocol.json")
    check_loggers([logger])
    name = f"{folder.resolve().parent.name}-{folder.name}"
    with open_loggers([logger], Target(folder, name, json.dumps([str(folder.resolve()), scores]), record, -1)) as log:
        for name in sorted((name for name in scores if "@" not in name), key=step_of):
            values = {
                f"eval/{title_of(suite)}/{metric}": value
                for suite, score in scores[name].items()
                for metric, value in _numbers(score).items()
            }
            log(step_of(name), values)
