"""Evaluate checkpoints: sample in one or more processes, score, keep `scores.json` and what it was made from.

An evaluation folder holds `protocol.json` (what was asked), `suites/` (the problems), `index.json` (each checkpoint's
weights and transcripts), `transcripts/`, `scores.json`, and `baselines.json` (the base under other templates).
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from oneshot_rlvr.evaluation.checkpoints import Checkpoint, best_by_validation
from oneshot_rlvr.evaluation.evaluate import Evaluator, Row, with_template
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.policy.model import model_folder
from oneshot_rlvr.problems.problem import to_jsonl
from oneshot_rlvr.rundir import RunDir, read_json, write_atomically

Scores = dict[str, dict[str, Row]]
OnUnit = Callable[[str, str], None]
SMALL = 64 << 20  # bytes of weights; models below it are sampled by a process a core


def nothing(checkpoint: str, suite: str) -> None:
    """Report no progress."""


def evaluate_checkpoints(
    checkpoints: Sequence[Checkpoint],
    evaluator: Evaluator,
    out: Path,
    on_unit: OnUnit = nothing,
    workers: int | None = 1,
) -> Scores:
    """Scores of every checkpoint by suite; `out/scores.json` grows checkpoint by checkpoint.

    The base under other templates goes to `out/baselines.json`. Scores under the same protocol and suites stay, and
    what has not changed is not graded again; others make way. Nothing that has a transcript is sampled again. `workers`
    None chooses a process a core for small models on a CPU, and one otherwise.
    """
    scores, index = _kept(evaluator, out)
    write_atomically(out / "protocol.json", json.dumps(evaluator.record, indent=1) + "\n")
    for name, problems in evaluator.suites.items():
        write_atomically(out / "suites" / f"{file_name(name)}.jsonl", to_jsonl(problems))
    hashes = {checkpoint.name: checkpoint.content_hash for checkpoint in checkpoints}
    wanted = [c for c in checkpoints if c.name not in scores or index.get(c.name, {}).get("weights") != hashes[c.name]]
    templates = {checkpoint.template for checkpoint in wanted}
    for checkpoint in checkpoints:
        if checkpoint not in wanted:
            _report(checkpoint, evaluator, hashes[checkpoint.name], on_unit)
    with ExitStack() as stack:
        graders = {name: stack.enter_context(evaluator.grader(with_template(evaluator, name))) for name in templates}
        for checkpoint in _sampled(wanted, evaluator, hashes, on_unit, workers):
            template, weights = with_template(evaluator, checkpoint.template), hashes[checkpoint.name]
            rows_of = evaluator.rows(weights, graders[checkpoint.template], template)
            scores[checkpoint.name] = evaluator.scores(rows_of)
            units: dict[str, list[str]] = {}
            for unit in evaluator.units(weights, template):
                units.setdefault(unit.suite, []).append(unit.path.name)
            asked = (template or evaluator.template).name
            index[checkpoint.name] = {"weights": weights, "template": asked, "transcripts": units}
            write_atomically(out / "index.json", json.dumps(dict(sorted(index.items())), indent=1) + "\n")
            _write_scores(out, scores)
    return {checkpoint.name: scores[checkpoint.name] for checkpoint in checkpoints}


def _kept(evaluator: Evaluator, out: Path) -> tuple[Scores, dict[str, Row]]:
    """The scores that stay, and what they were made from."""
    if not (out / "index.json").exists() or read_json(out / "protocol.json") != evaluator.record:
        return {}, {}
    index = read_json(out / "index.json")
    scores = {name: score for name, score in read_scores(out).items() if name in index}
    return scores, index


def read_scores(out: Path) -> Scores:
    """An evaluation's scores: of the base and the steps, then of the base under other templates."""
    files = [path for path in (out / "scores.json", out / "baselines.json") if path.exists()]
    return {name: score for path in files for name, score in read_json(path).items()}


def _write_scores(out: Path, scores: Scores) -> None:
    for file, others in (("scores.json", False), ("baselines.json", True)):
        part = {name: score for name, score in sorted(scores.items()) if ("@" in name) == others}
        if part:
            write_atomically(out / file, json.dumps(part, indent=1) + "\n")


def _sampled(
    checkpoints: Sequence[Checkpoint],
    evaluator: Evaluator,
    hashes: dict[str, str],
    on_unit: OnUnit,
    workers: int | None,
) -> Iterator[Checkpoint]:
    """The checkpoints, each once all of its transcripts are there."""
    missing = [c for c in checkpoints if _missing(c, evaluator, hashes[c.name])]
    count = min(_fitting(checkpoints) if workers is None else workers, len(missing))
    if count < 2:
        for checkpoint in checkpoints:
            _sample(evaluator, checkpoint, hashes[checkpoint.name], lambda suite, c=checkpoint: on_unit(c.name, suite))
            yield checkpoint
        return
    for checkpoint in checkpoints:
        if checkpoint not in missing:
            _report(checkpoint, evaluator, hashes[checkpoint.name], on_unit)
            yield checkpoint
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _die_with_parent) as pool:
        jobs = {pool.submit(_sample, evaluator, c, hashes[c.name]): c for c in missing}
        try:
            for job in as_completed(jobs):
                job.result()
                _report(jobs[job], evaluator, hashes[jobs[job].name], on_unit)
                yield jobs[job]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _sample(
    evaluator: Evaluator, checkpoint: Checkpoint, weights: str, on_unit: Callable[[str], None] | None = None
) -> None:
    evaluator.sample(
        weights, lambda: load_policy(checkpoint.section), with_template(evaluator, checkpoint.template), on_unit
    )


def _missing(checkpoint: Checkpoint, evaluator: Evaluator, weights: str) -> bool:
    units = evaluator.units(weights, with_template(evaluator, checkpoint.template))
    return not all(unit.path.exists() for unit in units)


def _report(checkpoint: Checkpoint, evaluator: Evaluator, weights: str, on_unit: OnUnit) -> None:
    for unit in evaluator.units(weights, with_template(evaluator, checkpoint.template)):
        on_unit(checkpoint.name, unit.suite)


def _fitting(checkpoints: Sequence[Checkpoint]) -> int:
    """A process a core if all models are small and on a CPU."""
    for section in (checkpoint.section for checkpoint in checkpoints):
        folder = Path(model_folder(section.path))
        files = list(folder.glob("*.safetensors")) if folder.is_dir() else []
        if section.device != "cpu" or not files or sum(file.stat().st_size for file in files) > SMALL:
            return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _die_with_parent() -> None:
    """In a worker: the parent handles Ctrl-C, and Linux ends the worker with it, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (AttributeError, OSError):
        return


def file_name(suite: str) -> str:
    """A suite's name as a file name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in suite)


def best_checkpoint(run: RunDir, checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The checkpoint that validation chose (`checkpoints_of` always has it); without validation, the last one."""
    best = best_by_validation(run)
    trained = [checkpoint for checkpoint in checkpoints if checkpoint.step] or list(checkpoints)
    return next((checkpoint for checkpoint in trained if checkpoint.step == best), trained[-1])


def write_examples(before: Checkpoint, after: Checkpoint, evaluator: Evaluator, out: Path, per_suite: int = 8) -> None:
    """`out/examples.json`: the same problems answered by two checkpoints, the first sample of each.

    Problems whose outcome changed come first, losses before gains.
    """
    with evaluator.grader() as grader:
        old_of, new_of = (evaluator.rows(checkpoint.content_hash, grader) for checkpoint in (before, after))
    examples: list[dict[str, Any]] = []
    for suite in evaluator.suites:
        pairs = [(o, n) for o, n in zip(old_of[suite], new_of[suite], strict=True) if o["samples"] and n["samples"]]
        kinds: dict[tuple[bool, bool], list[tuple[Row, Row]]] = {}
        for old, new in pairs:
            right = tuple(row["samples"][0]["outcome"] == "correct" for row in (old, new))
            kinds.setdefault((right[0], right[1]), []).append((old, new))
        order = [kinds.get(kind, []) for kind in ((True, False), (False, True), (False, False), (True, True))]
        turns = [found[i] for i in range(per_suite) for found in order if i < len(found)]
        for old, new in turns[:per_suite]:
            shown = {"suite": suite, "question": old["question"], "gold": old["gold"], "category": old["category"]}
            examples.append(shown | {"before": old["samples"][0], "after": new["samples"][0]})
    record = {"before": before.name, "after": after.name, "examples": examples}
    write_atomically(out / "examples.json", json.dumps(record, ensure_ascii=False, indent=1))
