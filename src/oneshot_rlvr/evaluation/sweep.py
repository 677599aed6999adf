"""Evaluate checkpoints: sample in one or more processes, score, keep what was found in the evaluation's folder."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from oneshot_rlvr.config import ModelSection
from oneshot_rlvr.evaluation.checkpoints import Checkpoint
from oneshot_rlvr.evaluation.evaluate import Evaluator, Row
from oneshot_rlvr.evaluation.spread import RayPool, finished
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.policy.model import checked_device, is_small
from oneshot_rlvr.processes import BOUND
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.runs import EvaluationFolder, ModelScores, Scores

OnUnit = Callable[[str, str], None]  # checkpoint, suite
OnTokens = Callable[[str, str, int], None]


def nothing(*heard: object) -> None:
    """Report no progress."""


def evaluate_checkpoints(
    checkpoints: Sequence[Checkpoint],
    evaluator: Evaluator,
    on_unit: OnUnit = nothing,
    workers: int | str | None = 1,
    on_tokens: OnTokens = nothing,
) -> Scores:
    """Scores of every checkpoint by suite; the folder's `scores.json` grows checkpoint by checkpoint.

    Scores under the same protocol and suites stay, and what has not changed is not graded again; others make way.
    Nothing that has a transcript is sampled again. `workers` None chooses a process a core for small models on a CPU,
    and one otherwise; a text is a Ray cluster's address (`RayPool`). `on_unit` hears of each unit that is there,
    `on_tokens` of the tokens drawn meanwhile, by this process alone.
    """
    with evaluator.folder.locked():
        return _evaluate(checkpoints, evaluator, (on_unit, on_tokens), workers)


def _evaluate(
    checkpoints: Sequence[Checkpoint], evaluator: Evaluator, heard: tuple[OnUnit, OnTokens], workers: int | str | None
) -> Scores:
    known, index = evaluator.folder.begin(evaluator.record)
    scores: dict[str, ModelScores] = known.labelled()
    for name, problems in evaluator.suites.items():
        evaluator.folder.write_suite(name, problems)
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
            _report(checkpoint, evaluator, hashes[checkpoint.name], heard[0])
    with ExitStack() as stack:
        graders = {name: stack.enter_context(evaluator.grader(evaluator.named(name))) for name in templates}
        for checkpoint in _sampled(wanted, evaluator, hashes, heard, workers):
            template, weights = evaluator.named(checkpoint.template), hashes[checkpoint.name]
            rows_of = evaluator.rows(weights, graders[checkpoint.template], template)
            scores[checkpoint.name] = evaluator.scores(rows_of)
            units: dict[str, list[str]] = {}
            for unit in evaluator.units(weights, template):
                units.setdefault(unit.suite, []).append(unit.path.name)
            index[checkpoint.name] = {"weights": weights, "template": template.name, "transcripts": units}
            evaluator.folder.write_scores(Scores.of(scores), index)
    return Scores.of({checkpoint.name: scores[checkpoint.name] for checkpoint in checkpoints})


def _sampled(
    checkpoints: Sequence[Checkpoint],
    evaluator: Evaluator,
    hashes: Mapping[str, str],
    heard: tuple[OnUnit, OnTokens],
    workers: int | str | None,
) -> Iterator[Checkpoint]:
    """The checkpoints, each once all of its transcripts are there."""
    missing = [c for c in checkpoints if _missing(c, evaluator, hashes[c.name])]
    by_work: Work = {}  # equal weights are sampled once
    for checkpoint in missing:
        by_work.setdefault((hashes[checkpoint.name], checkpoint.template), []).append(checkpoint)
    if isinstance(workers, str):
        folder = EvaluationFolder(evaluator.folder.path.resolve())
        whole = replace(evaluator, folder=folder, unit=evaluator.unit or evaluator.unit_here)
        parts = [replace(whole, suites={name: problems}) for name, problems in evaluator.suites.items()]
        gpu = any(checkpoint.section.device != "cpu" for checkpoint in checkpoints)
        yield from _spread(RayPool(workers, gpu), parts, by_work, (checkpoints, evaluator, hashes, heard[0]))
        return
    fitting = fitting_processes([checkpoint.section for checkpoint in checkpoints]) if workers is None else workers
    count = min(fitting, len(by_work))
    if count < 2:
        for checkpoint in checkpoints:
            of_checkpoint = [partial(hear, checkpoint.name) for hear in heard]
            _sample(evaluator, checkpoint, hashes[checkpoint.name], *of_checkpoint)
            yield checkpoint
        return
    # Not a fork server: after the program's death it would import to the end before it noticed.
    pool = ProcessPoolExecutor(count, BOUND)
    yield from _spread(pool, [replace(evaluator)], by_work, (checkpoints, evaluator, hashes, heard[0]))


Work = dict[tuple[str, str | None], list[Checkpoint]]  # weights and template: the checkpoints that have both


def _spread(
    pool: ProcessPoolExecutor | RayPool,
    parts: Sequence[Evaluator],
    by_work: Work,
    asked: tuple[Sequence[Checkpoint], Evaluator, Mapping[str, str], OnUnit],
) -> Iterator[Checkpoint]:
    """The checkpoints, each once all parts of its work are done in a pool; first those that lack nothing."""
    checkpoints, evaluator, hashes, on_unit = asked
    missing = [checkpoint for same in by_work.values() for checkpoint in same]
    for checkpoint in checkpoints:
        if checkpoint not in missing:
            _report(checkpoint, evaluator, hashes[checkpoint.name], on_unit)
            yield checkpoint
    others = set(multiprocessing.active_children())
    left = dict.fromkeys(by_work, len(parts))
    with pool:
        with without_interrupts():  # a worker that is still importing would print a traceback
            jobs = {
                pool.submit(_sample, part, elsewhere(same[0]), work[0]): work
                for work, same in by_work.items()
                for part in parts
            }
        try:
            for job in as_completed(jobs):
                finished(job)
                left[jobs[job]] -= 1
                for checkpoint in by_work[jobs[job]] if not left[jobs[job]] else ():
                    _report(checkpoint, evaluator, hashes[checkpoint.name], on_unit)
                    yield checkpoint
        except BaseException:  # do not wait for units that will be sampled again
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def elsewhere(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, its folder named so that a process in another folder finds it."""
    path = Path(checkpoint.section.path)
    if not path.is_dir():
        return checkpoint
    return replace(checkpoint, section=checkpoint.section.model_copy(update={"path": str(path.resolve())}))


def _sample(evaluator: Evaluator, checkpoint: Checkpoint, weights: str, *heard: Callable[..., None]) -> None:
    evaluator.sample(weights, lambda: load_policy(checkpoint.section), evaluator.named(checkpoint.template), *heard)


def _missing(checkpoint: Checkpoint, evaluator: Evaluator, weights: str) -> bool:
    units = evaluator.units(weights, evaluator.named(checkpoint.template))
    return not all(unit.path.exists() for unit in units)


def _report(checkpoint: Checkpoint, evaluator: Evaluator, weights: str, on_unit: OnUnit) -> None:
    for unit in evaluator.units(weights, evaluator.named(checkpoint.template)):
        on_unit(checkpoint.name, unit.suite)


def fitting_processes(sections: Sequence[ModelSection]) -> int:
    """A process a core if all models are small and on a CPU, otherwise one."""
    for section in sections:
        if checked_device(section.device) != "cpu" or not is_small(section):
            return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def without_interrupts() -> Iterator[None]:
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


def write_examples(before: Checkpoint, after: Checkpoint, evaluator: Evaluator, per_suite: int = 8) -> None:
    """`examples.json`: the same problems answered by two checkpoints, the first sample of each.

    Problems whose outcome changed come first, losses and gains in turn. Nothing is done if the file is about these two.
    """
    about = {"before": before.name, "after": after.name}
    about["weights"] = f"{fold(before.content_hash, after.content_hash):016x}"
    if about.items() <= (evaluator.folder.examples() or {}).items():
        return
    with evaluator.grader(evaluator.template) as grader:
        old_of, new_of = (
            evaluator.rows(checkpoint.content_hash, grader, evaluator.template) for checkpoint in (before, after)
        )
    examples = [
        example for suite in evaluator.suites for example in _examples(suite, old_of[suite], new_of[suite], per_suite)
    ]
    evaluator.folder.write_examples(about | {"examples": examples})


def _examples(suite: str, olds: Sequence[Row], news: Sequence[Row], count: int) -> Iterator[Row]:
    """The most telling problems of a suite."""
    kinds: dict[tuple[bool, bool], list[tuple[Row, Row]]] = {}
    for old, new in zip(olds, news, strict=True):
        if old["samples"] and new["samples"]:
            right = tuple(row["samples"][0]["outcome"] == "correct" for row in (old, new))
            kinds.setdefault((right[0], right[1]), []).append((old, new))
    changed = [kinds.get((True, False), []), kinds.get((False, True), [])]
    same = [kinds.get((False, False), []), kinds.get((True, True), [])]
    turns = [found[i] for order in (changed, same) for i in range(count) for found in order if i < len(found)]
    for old, new in turns[:count]:
        shown = {"suite": suite, "question": old["question"], "gold": old["gold"], "category": old["category"]}
        yield shown | {"before": old["samples"][0], "after": new["samples"][0]}
