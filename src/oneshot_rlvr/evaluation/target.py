"""Evaluate whatever the user names: a run, one of its checkpoints, a model folder, a profile or a hub name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.checkpoints import Checkpoint, checkpoints_of, run_config
from oneshot_rlvr.evaluation.evaluate import Evaluator, Protocol
from oneshot_rlvr.evaluation.runs import Scores, best_checkpoint, evaluate_checkpoints, write_examples
from oneshot_rlvr.grading.modes import get_mode
from oneshot_rlvr.problems import Problem, find_problems, get_template
from oneshot_rlvr.problems.catalogue import organism_suites
from oneshot_rlvr.rundir import RunDir

OnUnit = Callable[[int, str, int], None]


@dataclass(frozen=True)
class Result:
    """What was evaluated: scores by checkpoint, the checkpoint that validation chose, the folder."""

    scores: Scores
    best: str | None
    out: Path


def evaluate_target(
    target: str,
    suites: Sequence[str],
    protocol: Protocol,
    out: Path | None,
    every: int,
    limit: int | None,
    settings: Sequence[str],
    on_unit: OnUnit,
    mode: str = "default",
    fallback: bool = False,
) -> Result:
    """Evaluate `target`; a protocol with `max_new_tokens` 0 takes the model's configured length.

    Raises:
        OneshotError: no such model, run or suite.
    """
    run = RunDir(Path(target)) if RunDir(Path(target)).started else None
    if run is not None:
        if settings:
            raise OneshotError("a run is evaluated as it was configured", where="--set", fix="Leave --set out.")
        config, checkpoints = run_config(run), checkpoints_of(run, every)
        out = out or run.path / "eval"
    else:
        config = _config_of_model(target, settings)
        checkpoints = [Checkpoint(Path(target).name, 0, config.model)]
        out = out or _folder_of_model(Path(target))
    evaluator = Evaluator(
        suites=named_suites(suites, limit),
        template=get_template(config.model.template),
        protocol=replace(protocol, max_new_tokens=protocol.max_new_tokens or config.sampling.max_new_tokens),
        folder=out,
        kv_cache_gib=config.sampling.kv_cache_gib,
        mode=get_mode(mode).name,
        fallback=fallback,
    )
    total, done = len(checkpoints) * len(evaluator.suites), 0

    def count(checkpoint: str, suite: str) -> None:
        nonlocal done
        done += 1
        on_unit(done, f"{checkpoint} {suite}", total)

    scores = evaluate_checkpoints(checkpoints, evaluator, out, count)
    if run is None:
        return Result(scores, None, out)
    best = best_checkpoint(run, checkpoints)
    write_examples(checkpoints[0], best, evaluator, out)
    return Result(scores, best.name if config.run.validation else None, out)


def named_suites(names: Sequence[str], limit: int | None) -> dict[str, list[Problem]]:
    """Problems by suite; "organism" stands for its six held-out suites."""
    wanted = [suite for name in names for suite in (organism_suites() if name == "organism" else [name])]
    short = {name: Path(name).name if Path(name).is_file() else name for name in wanted}
    if len(set(short.values())) < len(short):
        short = {name: name for name in wanted}
    return {short[name]: find_problems(name)[:limit] for name in wanted}


def _run_of_checkpoint(path: Path) -> RunDir | None:
    """The run whose checkpoint this path names, if it does."""
    run = RunDir(path.parent.parent)
    return run if path.parent.name == "checkpoints" and run.started else None


def _folder_of_model(path: Path) -> Path:
    run = _run_of_checkpoint(path)
    return run.path / "eval" / path.name if run else Path("runs") / f"eval-{path.name}"


def _config_of_model(target: str, settings: Sequence[str]) -> Config:
    """A checkpoint is run as its run was configured, any other model as its profile says."""
    path = Path(target)
    run = _run_of_checkpoint(path)
    if run is not None:
        if not path.is_dir():
            raise OneshotError("no such checkpoint", where=path, fix="Look into the run's checkpoints folder.")
        config = run_config(run)
        return config.model_copy(update={"model": config.model.model_copy(update={"path": str(path)})})
    return resolve("grpo", target, settings)[0]
