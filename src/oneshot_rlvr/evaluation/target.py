"""Evaluate whatever the user names: a run, one of its checkpoints, a model folder, a profile or a hub name."""

from __future__ import annotations

import logging
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.checkpoints import Checkpoint, checkpoints_of, counting
from oneshot_rlvr.evaluation.evaluate import Evaluator
from oneshot_rlvr.evaluation.protocols import PROTOCOLS, Protocol
from oneshot_rlvr.evaluation.summary import summarise
from oneshot_rlvr.evaluation.sweep import evaluate_checkpoints, write_examples
from oneshot_rlvr.files import verify_folder
from oneshot_rlvr.grading.features import REFLECTION_WORDS
from oneshot_rlvr.grading.modes import get_mode
from oneshot_rlvr.policy.model import as_the_model_asks, chat_template
from oneshot_rlvr.problems import Problem, default_suites, find_problems, get_template, suites_of
from oneshot_rlvr.problems.benchmarks import BENCHMARKS
from oneshot_rlvr.runs import BASE, EvaluationFolder, Run, Scores, step_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What was evaluated: the scores, the step that validation chose, the folder."""

    scores: Scores
    best: int | None
    folder: EvaluationFolder


@dataclass(frozen=True)
class Options:
    """What the command's user may ask for besides the protocol."""

    suites: Sequence[str] = ()
    out: Path | None = None
    every: int = 1
    limit: int | None = None
    settings: Sequence[str] | Mapping[str, Any] = ()
    workers: int | str | None = None
    words: Sequence[str] = REFLECTION_WORDS


@dataclass(frozen=True)
class Ahead:
    """What is yet to be sampled: by a model, calls of a sampler as (responses, their most tokens)."""

    config: Config
    calls: Sequence[tuple[int, int]]


class Listener(typing.Protocol):
    """Hears how an evaluation goes on."""

    def ahead(self, work: Ahead) -> None:
        """Before anything is sampled."""
        ...

    def update(self, done: int, note: str, total: int) -> None:
        """Units done, what is being sampled, all units."""
        ...


class Nobody:
    """Hears nothing."""

    def ahead(self, work: Ahead) -> None: ...

    def update(self, done: int, note: str, total: int) -> None: ...


def evaluate_target(target: str, protocol: Protocol, options: Options, listener: Listener | None = None) -> Result:
    """Evaluate `target` under the protocol.

    Raises:
        OneshotError: no such model, run or suite.
    """
    get_mode(protocol.mode)
    if options.every < 1:
        raise OneshotError(f"every={options.every}", where="evaluation", fix="1 evaluates every checkpoint.")
    run = Run(target) if Run(target).started else None
    if run is not None:
        if options.settings:
            raise OneshotError("a run is evaluated as it was configured", where="--set", fix="Leave --set out.")
        config, checkpoints = run.config, checkpoints_of(run, options.every)
        folder = run.evaluation(protocol.name)
    else:
        config = config_of_model(target, options.settings)
        checkpoints = [Checkpoint(_name(target), step_of(_name(target)), config.model)]
        folder = EvaluationFolder(_folder_of_model(target, protocol.name))
    evaluator = Evaluator(
        suites=named_suites(options.suites or protocol.suites or default_suites(), options.limit),
        template=get_template(protocol.template or config.model.template),
        protocol=replace(protocol, max_new_tokens=protocol.max_new_tokens or config.sampling.max_new_tokens),
        folder=EvaluationFolder(options.out) if options.out else folder,
        config=config,
        words=options.words,
        subject=_name(target),
    )
    asked = [checkpoints[0], *_base_under_templates(checkpoints[0], evaluator), *checkpoints[1:]]
    listener = listener or Nobody()
    units = [unit for c in asked for unit in evaluator.units(c.content_hash, evaluator.named(c.template))]
    ahead = list(
        {unit.path: unit for unit in units if not unit.path.exists()}.values()
    )  # equal weights are sampled once
    if ahead:
        listener.ahead(Ahead(config, [call for unit in ahead for call in unit.calls]))
    done, tokens = 0, 0

    def count(checkpoint: str, suite: str) -> None:
        nonlocal done, tokens
        done, tokens = done + 1, 0
        listener.update(done, f"{checkpoint} {suite}", len(units))

    def add(checkpoint: str, suite: str, number: int) -> None:
        nonlocal tokens
        tokens += number
        listener.update(done, f"{checkpoint} {suite} {tokens:,} tokens", len(units))

    scores = evaluate_checkpoints(asked, evaluator, count, options.workers, add)
    for suite, score in scores.first.suites.items():
        if lost := score.outcomes.get("unscorable"):
            log.warning(
                "%s: %d responses are to golds that nothing can be compared with, and count as wrong", suite, lost
            )
    if run is None:
        return Result(scores, None, evaluator.folder)
    write_examples(checkpoints[0], counting(run, checkpoints), evaluator)
    evaluator.folder.write_summary(summarise(run, scores, evaluator.template.answer == "box" and not protocol.fallback))
    return Result(scores, run.validated_step(), evaluator.folder)


def _base_under_templates(base: Checkpoint, evaluator: Evaluator) -> list[Checkpoint]:
    """The base once more for each of the protocol's other templates that its tokenizer has."""
    if base.step or base.name != BASE:
        return []
    wanted = [name for name in evaluator.protocol.base_templates if name != evaluator.template.name]
    return [base.asked_with(name) for name in wanted if name != "chat" or chat_template(base.section) is not None]


def named_suites(names: Sequence[str], limit: int | None) -> dict[str, list[Problem]]:
    """Problems by suite; a guest's name stands for its held-out suites, a protocol's for its own."""
    wanted: list[str] = []
    for name in names:
        stands_for = PROTOCOLS[name].suites if name in PROTOCOLS else (name,)
        for suite in stands_for:
            wanted += suites_of(suite)
    short = {name: Path(name).name if Path(name).is_file() else name for name in wanted}
    if len(set(short.values())) < len(short):
        short = {name: name for name in wanted}
    found = {short[name]: find_problems(name) for name in wanted}
    for name, problems in found.items():
        expected = BENCHMARKS[name].rows if name in BENCHMARKS else None
        if expected is not None and len(problems) != expected:
            log.warning("%s: %d problems; the paper's release has %d", name, len(problems), expected)
    return {name: problems[:limit] for name, problems in found.items()}


def _name(target: str) -> str:
    """What a target is called in scores."""
    path = Path(target)
    return (path.resolve() if path.exists() else path).name.replace("@", "-")


def _folder_of_model(target: str, protocol: str) -> Path:
    run, name = Run.of_checkpoint(Path(target)), EvaluationFolder.name_of(protocol)
    return run.path / name / _name(target) if run else Path("runs") / f"{name}-{_name(target)}"


def config_of_model(target: str, settings: Sequence[str] | Mapping[str, Any]) -> Config:
    """A checkpoint is run as its run was configured, any other model as its profile says."""
    path = Path(target)
    run = Run.of_checkpoint(path)
    if run is not None:
        if settings:
            raise OneshotError(
                "a checkpoint is evaluated as its run was configured", where="--set", fix="Leave it out."
            )
        if not path.is_dir():
            raise OneshotError("no such checkpoint", where=path, fix="Look into the run's checkpoints folder.")
        verify_folder(path, "Evaluate another checkpoint.")
        config = run.config
        return config.model_copy(update={"model": config.model.of_weights(path)})
    return as_the_model_asks(*resolve("grpo", target, settings))[0]
