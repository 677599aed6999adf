"""`oneshot cluster`: hand a run to verl on Ray, run it there, and take back what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oneshot_rlvr.commands.options import ModelName, Steps
from oneshot_rlvr.commands.terminal import Quiet, Settings, ended_well, plain, show
from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oneshot_rlvr.cluster.folder import Folder
    from oneshot_rlvr.config import Config

ExportArgument = Annotated[Path, typer.Argument(metavar="EXPORT", help="What `oneshot cluster export` wrote.")]

cluster_app = typer.Typer(
    help="More than one GPU: the same recipe on verl and Ray. Export, run, collect.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@cluster_app.command()
@ended_well
def export(
    recipe: Annotated[str, typer.Argument(help="Recipe name, or a YAML file.")] = "grpo",
    model: ModelName = "organism",
    problems: Annotated[str | None, typer.Option(help="A .jsonl, .csv or .parquet file, or a named set.")] = None,
    question: Annotated[str | None, typer.Option(help="Train on this one problem...")] = None,
    answer: Annotated[str | None, typer.Option(help="...with this answer.")] = None,
    gpus: Annotated[int, typer.Option(min=0, max=64, help="On each node; 0 for a CPU, to try an export.")] = 8,
    nodes: Annotated[int, typer.Option(min=1, max=1024)] = 1,
    steps: Steps = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; by default a new one under runs/.")] = None,
    settings: Settings = None,
) -> None:
    """Write a folder that verl runs: rows, reward, every setting, scripts, environment. Refuses what verl cannot do."""
    from oneshot_rlvr.cluster import Export
    from oneshot_rlvr.cluster import export as write
    from oneshot_rlvr.commands import session
    from oneshot_rlvr.commands.train import new_folder
    from oneshot_rlvr.config import resolve

    mine = session.one_problem(question, answer, problems)
    flags = {"data.problems": "command line" if mine else problems, "run.steps": steps, "run.seed": seed}
    config, sources = _asked(*resolve(recipe, model, settings or [], flags))
    chosen = mine or session.chosen_problems(config)
    folder = write(Export(config, sources, chosen, gpus, nodes), out or new_folder(f"verl-{Path(recipe).stem}", model))
    where = f"{gpus} GPUs on each of {nodes} nodes" if gpus else "a CPU"
    print(f"{len(chosen)} problems, {config.run.steps} steps, for {where}: {folder.path}")
    print(f"Its environment: bash {folder.path}/install.sh VENV")
    print(f"Next: oneshot cluster run {folder.path} --python VENV/bin/python; or sbatch slurm.sh, or ray_job.sh in it.")


def _asked(config: Config, sources: dict[str, str]) -> tuple[Config, dict[str, str]]:
    """What the model's tokenizer asks for, where it is here; nothing that only this machine would choose."""
    from oneshot_rlvr.policy.model import as_the_model_asks

    try:
        return as_the_model_asks(config, sources, here=False)
    except OneshotError as error:
        show(plain(f"Note: template and lengths are as configured, since the model is not here: {error}"))
        return config, sources


@cluster_app.command()
@ended_well
def run(
    export: ExportArgument,
    python: Annotated[str, typer.Option(help="The Python of verl's environment, made by install.sh.")] = "python3",
    override: Annotated[list[str] | None, typer.Option(help="A further setting of verl's, key=value.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Begin it and return.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the launch that runs here.")] = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Look for what would fail first.")] = True,
    quiet: Quiet = False,
) -> None:
    """Run an export, or go on with it. Ctrl-C lets go of it; the same command takes it up again."""
    from oneshot_rlvr.cluster import launch as launches
    from oneshot_rlvr.cluster.folder import Folder
    from oneshot_rlvr.commands.progress import Reporter

    folder = Folder.at(export)
    if stop:
        print("Stopped." if launches.stop(folder) else "Nothing runs here.")
        return
    number = launches.running_launch(folder)
    if number is None:
        if check:
            _check(folder, python)
        number = launches.launch(folder, python, tuple(override or ()))
        print(f"Launch {number}: {folder.console_path(number)}")
    else:
        print(f"Launch {number} runs already.")
    if detach:
        return
    steps = folder.config.run.steps
    with Reporter(quiet).task("verl", steps) as task:
        try:
            code = launches.follow(folder, number, lambda step, data: task.update(step, _note(data), steps))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"let go; it runs on: oneshot cluster run {export}, with --stop to end it"
            ) from None
    if code:
        said = "; ".join(launches.last_words(folder, number))
        raise OneshotError(f"verl ended with {code}: {said[:600]}", where=folder.console_path(number), fix="Read it.")
    print(f"Next: oneshot cluster collect {export}")


def _note(data: dict[str, Any]) -> str:
    shown = {"reward": ("critic/rewards/mean", ".2f"), "entropy": ("actor/entropy", ".3f")}
    known = ((name, data.get(key), form) for name, (key, form) in shown.items())
    return " ".join(f"{name} {value:{form}}" for name, value, form in known if value is not None)


def _check(folder: Folder, python: str) -> None:
    """Raises:
    OneshotError: this export would fail; every reason is printed, the first one raised.
    """
    from oneshot_rlvr.cluster.preflight import probed, troubles

    there = probed(folder, python)
    found = [*troubles(folder, there), *_memory(folder, there["memory_gib"])]
    for line in found[1:]:
        show(plain(f"Also: {line}"))
    if found:
        raise OneshotError(found[0], where=folder.path)


def _memory(folder: Folder, gib: Sequence[float]) -> Iterator[str]:
    """Whether an update fits the smallest GPU, by the planner: what FSDP shards is shared among all processes."""
    from oneshot_rlvr.commands.planner import memory, shape_of

    if not gib:
        return
    about, config = folder.about, folder.config
    parts = memory(config, shape_of(config.model), "cuda")
    shared = sum(parts[name] for name in ("weights", "other models", "gradients", "optimizer"))
    own = sum(value for name, value in parts.items() if name.startswith("update"))
    wanted = shared / (about["gpus"] * about["nodes"]) + own
    if wanted > min(gib):
        yield (
            f"an update takes {wanted:.0f} GiB on each GPU, which has {min(gib):.0f}. "
            "Export with more --gpus, or a smaller --set batch.microbatch_tokens=."
        )


@cluster_app.command()
@ended_well
def collect(
    export: ExportArgument,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default EXPORT/run.")] = None,
) -> None:
    """Make an ordinary run folder of what verl has done so far: eval, report, select and doctor work on it."""
    from oneshot_rlvr.cluster import collect as gather
    from oneshot_rlvr.cluster.folder import Folder
    from oneshot_rlvr.runs import Run

    folder = Folder.at(export)
    found = Run(out or export / "run")
    last = gather(folder, found)
    print(f"{last} of {folder.config.run.steps} steps, {len(found.steps())} checkpoints: {found.path}")
    print(f"Next: oneshot eval {found.path}; oneshot report {found.path}")


def markdown() -> str:
    """What becomes of every key, for docs/cluster.md."""
    from oneshot_rlvr.cluster.settings import tables

    parts = []
    for title, rows in tables().items():
        lines = [f"| `{key}` | {says.replace('|', chr(92) + '|')} |" for key, says in rows.items()]
        parts.append("\n".join([f"### {title}", "", "| key | on verl |", "|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":  # python -m oneshot_rlvr.commands.cluster > ...
    print(markdown(), end="")
