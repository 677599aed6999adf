"""Evaluate checkpoints: sample in one or more processes, score, keep what was found in a folder (`store.py`)."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from oneshot_rlvr.evaluation.checkpoints import Checkpoint, best_by_validation
from oneshot_rlvr.evaluation.evaluate import Evaluator, Row
from oneshot_rlvr.evaluation.store import Scores, file_name, open_store, write_scores
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.policy.model import checked_device, model_folder
from oneshot_rlvr.problems.problem import to_jsonl
from oneshot_rlvr.processes import die_with_parent
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.rundir import RunDir, locked, read_json, write_atomically, write_json

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
    with locked(out, "evaluation folder"):
        return _evaluate(checkpoints, evaluator, out, on_unit, workers)


def _evaluate(
    checkpoints: Sequence[Checkpoint], evaluator: Evaluator, out: Path, on_unit: OnUnit, workers: int | None
) -> Scores:
    scores, index = open_store(out, evaluator.record)
    for name, problems in evaluator.suites.items():
        write_atomically(out / "suites" / f"{file_name(name)}.jsonl", to_jsonl(problems))
    hashes = {checkpoint.name: checkpoint.content_hash for checkpoint in checkpoints}
    wanted = [
        checkpoint
        for checkpoint in checkpoints
        if checkpoint.name not in scores
        or index[checkpoint.name]["weights"] != hashes[checkpoint.name]
        or _missing(checkpoint, evaluator, hashes[checkpoint.name])
    ]
    templates = {checkpoint.template for checkpoint in wanted}
    for checkpoint in checkpoints:
        if checkpoint not in wanted:
            _report(checkpoint, evaluator, hashes[checkpoint.name], on_unit)
    with ExitStack() as stack:
        graders = {name: stack.enter_context(evaluator.grader(evaluator.named(name))) for name in templates}
        for checkpoint in _sampled(wanted, evaluator, hashes, on_unit, workers):
            template, weights = evaluator.named(checkpoint.template), hashes[checkpoint.name]
            rows_of = evaluator.rows(weights, graders[checkpoint.template], template)
            scores[checkpoint.name] = evaluator.scores(rows_of)
            units: dict[str, list[str]] = {}
            for unit in evaluator.units(weights, template):
                units.setdefault(unit.suite, []).append(unit.path.name)
            index[checkpoint.name] = {"weights": weights, "template": template.name, "transcripts": units}
            write_scores(out, scores, index)
    return {checkpoint.name: scores[checkpoint.name] for checkpoint in checkpoints}


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
    by_work: dict[tuple[str, str | None], list[Checkpoint]] = {}  # equal weights are sampled once
    for checkpoint in missing:
        by_work.setdefault((hashes[checkpoint.name], checkpoint.template), []).append(checkpoint)
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), die_with_parent) as pool:
        with _without_interrupts():  # a worker that is still importing would print a traceback
            jobs = {pool.submit(_sample, evaluator, same[0], work[0]): same for work, same in by_work.items()}
        try:
            for job in as_completed(jobs):
                job.result()
                for checkpoint in jobs[job]:
                    _report(checkpoint, evaluator, hashes[checkpoint.name], on_unit)
                    yield checkpoint
        except BaseException:  # do not wait for units that will be sampled again
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def _sample(
    evaluator: Evaluator, checkpoint: Checkpoint, weights: str, on_unit: Callable[[str], None] | None = None
) -> None:
    evaluator.sample(weights, lambda: load_policy(checkpoint.section), evaluator.named(checkpoint.template), on_unit)


def _missing(checkpoint: Checkpoint, evaluator: Evaluator, weights: str) -> bool:
    units = evaluator.units(weights, evaluator.named(checkpoint.template))
    return not all(unit.path.exists() for unit in units)


def _report(checkpoint: Checkpoint, evaluator: Evaluator, weights: str, on_unit: OnUnit) -> None:
    for unit in evaluator.units(weights, evaluator.named(checkpoint.template)):
        on_unit(checkpoint.name, unit.suite)


def _fitting(checkpoints: Sequence[Checkpoint]) -> int:
    """A process a core if all models are small and on a CPU."""
    for section in (checkpoint.section for checkpoint in checkpoints):
        folder = Path(model_folder(section.path))
        files = list(folder.glob("*.safetensors")) if folder.is_dir() else []
        if checked_device(section.device) != "cpu" or not files or sum(file.stat().st_size for file in files) > SMALL:
            return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started within inherit that Ctrl-C is ignored; off the main thread signals are left alone."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def best_checkpoint(run: RunDir, checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The checkpoint that validation chose (`checkpoints_of` always has it); without validation, the last one."""
    best = best_by_validation(run)
    trained = [checkpoint for checkpoint in checkpoints if checkpoint.step] or list(checkpoints)
    return next((checkpoint for checkpoint in trained if checkpoint.step == best), trained[-1])


def write_examples(before: Checkpoint, after: Checkpoint, evaluator: Evaluator, out: Path, per_suite: int = 8) -> None:
    """`out/examples.json`: the same problems answered by two checkpoints, the first sample of each.

    Problems whose outcome changed come first, losses and gains in turn. Nothing is done if the file is about these two.
    """
    path, about = out / "examples.json", {"before": before.name, "after": after.name}
    about["weights"] = f"{fold(before.content_hash, after.content_hash):016x}"
    if path.exists() and about.items() <= read_json(path).items():
        return
    with evaluator.grader(evaluator.template) as grader:
        old_of, new_of = (
            evaluator.rows(checkpoint.content_hash, grader, evaluator.template) for checkpoint in (before, after)
        )
    examples: list[dict[str, Any]] = []
    for suite in evaluator.suites:
        pairs = [(o, n) for o, n in zip(old_of[suite], new_of[suite], strict=True) if o["samples"] and n["samples"]]
        kinds: dict[tuple[bool, bool], list[tuple[Row, Row]]] = {}
        for old, new in pairs:
            right = tuple(row["samples"][0]["outcome"] == "correct" for row in (old, new))
            kinds.setdefault((right[0], right[1]), []).append((old, new))
        changed = [kinds.get((True, False), []), kinds.get((False, True), [])]
        same = [kinds.get((False, False), []), kinds.get((True, True), [])]
        turns = [found[i] for order in (changed, same) for i in range(per_suite) for found in order if i < len(found)]
        for old, new in turns[:per_suite]:
            shown = {"suite": suite, "question": old["question"], "gold": old["gold"], "category": old["category"]}
            examples.append(shown | {"before": old["samples"][0], "after": new["samples"][0]})
    write_json(path, about | {"examples": examples})
