"""Evaluate the checkpoints of a run: `eval/scores.json`, and a few responses before and after."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oneshot_rlvr.evaluation.checkpoints import Checkpoint, best_by_validation
from oneshot_rlvr.evaluation.evaluate import Evaluator, Row
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.rundir import RunDir, read_json, write_atomically

Scores = dict[str, dict[str, Row]]


def evaluate_checkpoints(
    checkpoints: list[Checkpoint],
    evaluator: Evaluator,
    out: Path,
    on_unit: Callable[[str, str], None] = lambda c, s: None,
) -> Scores:
    """Scores of every checkpoint by suite; `out/scores.json` grows checkpoint by checkpoint.

    `out/protocol.json` says what was asked. Scores under the same protocol and suites stay in the file; others make
    way. Nothing that has a transcript is sampled again.
    """
    scores: Scores = {}
    if (out / "scores.json").exists() and read_json(out / "protocol.json") == evaluator.record:
        scores = read_json(out / "scores.json")
    write_atomically(out / "protocol.json", json.dumps(evaluator.record, indent=1) + "\n")
    for checkpoint in checkpoints:
        scores[checkpoint.name] = evaluator.evaluate(
            checkpoint.content_hash,
            lambda section=checkpoint.section: load_policy(section),
            lambda suite, name=checkpoint.name: on_unit(name, suite),
        )
        scores = dict(sorted(scores.items()))  # base, then the steps
        write_atomically(out / "scores.json", json.dumps(scores, indent=1) + "\n")
    return {checkpoint.name: scores[checkpoint.name] for checkpoint in checkpoints}


def best_checkpoint(run: RunDir, checkpoints: list[Checkpoint]) -> Checkpoint:
    """The checkpoint that validation chose (`checkpoints_of` always has it); without validation, the last one."""
    best = best_by_validation(run)
    return next((checkpoint for checkpoint in checkpoints if checkpoint.step == best), checkpoints[-1])


def write_examples(before: Checkpoint, after: Checkpoint, evaluator: Evaluator, out: Path, per_suite: int = 2) -> None:
    """`out/examples.json`: the same problems answered by two checkpoints, the first sample of each."""
    examples: list[dict[str, Any]] = []
    for suite in evaluator.suites:
        pairs = zip(
            evaluator.examples(before.content_hash, suite, per_suite),
            evaluator.examples(after.content_hash, suite, per_suite),
            strict=True,
        )
        for old, new in pairs:
            if old["samples"] and new["samples"]:
                shown = {"suite": suite, "question": old["question"], "gold": old["gold"]}
                examples.append(shown | {"before": old["samples"][0], "after": new["samples"][0]})
    record = {"before": before.name, "after": after.name, "examples": examples}
    write_atomically(out / "examples.json", json.dumps(record, ensure_ascii=False, indent=1))
