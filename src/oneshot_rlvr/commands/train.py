"""`oneshot train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oneshot_rlvr.commands.terminal import Quiet, Settings, plain, show
from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from oneshot_rlvr.commands.progress import Task
    from oneshot_rlvr.runs import Run
    from oneshot_rlvr.training.loop import OnStep


def train(
    recipe: Annotated[str | None, typer.Argument(help="Recipe name (default grpo), or a YAML file.")] = None,
    model: Annotated[str | None, typer.Option(help="Model profile (default organism), folder, or hub name.")] = None,
    problems: Annotated[str | None, typer.Option(help="A .jsonl, .csv or .parquet file, or a named set.")] = None,
    question: Annotated[str | None, typer.Option(help="Train on this one problem...")] = None,
    answer: Annotated[str | None, typer.Option(help="...with this answer.")] = None,
    reward: Annotated[str | None, typer.Option(help="A reward, a weighted sum, or module:function.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default a new one under runs/.")] = None,
    steps: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    settings: Settings = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this run; only --steps and run.loggers may change.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a model with a recipe."""
    from oneshot_rlvr.commands import session
    from oneshot_rlvr.commands.patience import long_step, too_large
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.config import resolve
    from oneshot_rlvr.config.resolve import overrides
    from oneshot_rlvr.policy.model import as_the_model_asks
    from oneshot_rlvr.problems import get_template
    from oneshot_rlvr.runs import Run

    if resume is not None:
        changes = overrides(settings or [])
        others = (recipe, model, problems, question, answer, reward, out, seed)
        if any(given is not None for given in others) or set(changes) - {"run.loggers"}:
            raise OneshotError(
                "a resumed run keeps its configuration",
                where="--resume",
                fix="Give only --steps and --set run.loggers with it.",
            )
        run = _resumed(resume, steps, changes.get("run.loggers"), quiet)
    else:
        mine = session.one_problem(question, answer, problems)
        source = "command line" if mine else problems
        flags = {"data.problems": source, "algorithm.reward": reward, "run.steps": steps, "run.seed": seed}
        recipe, model = recipe or "grpo", model or "organism"
        config, sources = as_the_model_asks(*resolve(recipe, model, settings or [], flags))
        chosen = mine or session.chosen_problems(config)
        run = Run(out or new_folder(recipe, model))
        plural = "s" if len(chosen) > 1 else ""
        print(
            f"{len(chosen)} problem{plural}, asked with template {get_template(config.model.template).title}, "
            f"{config.run.steps} steps, run folder {run.path}"
        )
        for warning in () if quiet else filter(None, (long_step(config), too_large(config))):
            print(warning)
        with Reporter(quiet).task("Training", config.run.steps) as task:
            session.start(run, config, sources, chosen, _followed(run, task))
    for last in run.metrics()[-1:]:
        print(f"step {last['step']}: reward {last['reward/mean']:.3f}")
    if run.stopped:
        print(f"It ended there: run.stop_when={run.config.run.stop_when!r}.")
    print(f"Next: oneshot eval {run.path}; oneshot report {run.path}")


def _resumed(folder: Path, steps: int | None, loggers: object, quiet: bool) -> Run:
    """The run after it went on to `steps`; a finished one says so."""
    from oneshot_rlvr.commands import session
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.config.resolve import beside
    from oneshot_rlvr.runs import Run

    run = Run(folder)
    if not run.started:
        raise OneshotError("no run in this folder", where=folder, fix=beside(folder))
    total = steps or run.config.run.steps
    if run.steps() and (run.stopped or run.steps()[-1] >= total):
        with run.locked():  # what a kill at the very end left undone
            run.drop_trainer_states(run.config.run.keep_trainer_states)
        after = f"run.stop_when={run.config.run.stop_when!r} ended it" if run.stopped else "--steps takes it further"
        print(f"{folder} is finished: {run.steps()[-1]} steps; {after}.")
        return run
    with Reporter(quiet).task(f"Training {folder}", total) as task:
        session.resume(run, steps, _followed(run, task), loggers=loggers)
    return run


def _followed(run: Run, task: Task) -> OnStep:
    """Shows each step, and says what the doctor finds on the way."""
    from oneshot_rlvr.commands.progress import training_note
    from oneshot_rlvr.commands.session import watched

    def say(text: str) -> None:
        show(plain(text.encode(sys.stdout.encoding or "utf-8", "replace").decode()))

    return watched(run, say, lambda step, total, metrics: task.update(step, training_note(metrics), total))


def new_folder(recipe: str, model: str) -> Path:
    """The next free folder under runs/."""
    stem = f"{Path(recipe).stem}-{Path(model).name}"
    return next(path for n in range(1, 10_000) if not (path := Path("runs") / f"{stem}-{n}").exists())
