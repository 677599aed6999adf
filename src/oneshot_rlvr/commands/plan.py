"""`oneshot plan`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from oneshot_rlvr.commands.options import ModelName
from oneshot_rlvr.commands.terminal import Settings, show

if TYPE_CHECKING:
    from oneshot_rlvr.config import Config
    from oneshot_rlvr.runs import Run


def plan(
    recipe: Annotated[str, typer.Argument(help="Recipe name, or a YAML file.")] = "grpo",
    model: ModelName = "organism",
    gpu: Annotated[
        str | None,
        typer.Option(help="h200 (default), h100, a100, a100-40gb, l40s, rtx4090, or cpu; of --run, its own."),
    ] = None,
    length: Annotated[float | None, typer.Option(help="Expected mean response length in tokens.")] = None,
    run: Annotated[Path | None, typer.Option(help="Compare with this run; its configuration counts.")] = None,
    settings: Settings = None,
) -> None:
    """Say what a run will take, before it starts; or how that compares with what it took."""
    from oneshot_rlvr.commands.planner import make_plan, what_happened
    from oneshot_rlvr.runs import Run

    past = None if run is None else Run.at(run)
    did = None if past is None else what_happened(past)
    if gpu is None:
        gpu = "h200" if past is None else _trained_on(past)
    config = _planned(recipe, model, settings or (), gpu) if past is None else past.config
    planned = make_plan(config, gpu, did["mean_length"] if did else length)
    table = Table("", "plan", *(["run"] if did else []), title=f"{config.model.path} on {gpu}")
    for name, gib in planned["memory_gib"].items():
        known = did is not None and name == "peak" and did["peak"] == did["peak"]  # older runs have not recorded it
        cells = [f"{did['peak']:.2f} GiB" if did and known else ""] if did else []
        table.add_row(f"memory, {name}", f"{gib:.2f} GiB", *cells)
    for name in ("sample", "update", "step"):
        table.add_row(
            "step, whole" if name == "step" else f"step, {name}",
            f"{planned['seconds'][name]:.3g} s",
            *([f"{did[name]:.3g} s"] if did else []),
        )
    show(table)
    fits = "fits" if planned["fits"] else "DOES NOT FIT"
    print(f"{fits} in {planned['memory_of_device_gib']:.0f} GiB; waves a step: {planned['seconds']['waves']}.")
    print(
        f"{config.run.steps} steps: {planned['hours']:.2g} hours, {planned['samples']:,} samples, "
        f"{planned['response_tokens']:,.0f} response tokens at a mean length of {planned['mean_length']:.0f}."
    )
    decode, train = planned["assumed"]["decode_share"], planned["assumed"]["train_share"]
    if gpu == "cpu":
        print("Layers of these sizes were timed on this machine just now.")
    else:
        print(f"Assumed, not measured: {decode:.0%} of the decode limit, {train:.0%} of peak.")


def _trained_on(run: Run) -> str:
    """The device that a run had, if its rates are known."""
    from oneshot_rlvr.commands.planner import gpu_called

    about = run.environment
    if about.get("device") == "cpu":
        return "cpu"
    return (gpu_called(**about["gpu"]) if "gpu" in about else None) or "h200"


def _planned(recipe: str, model: str, settings: Sequence[str], gpu: str) -> Config:
    """What `oneshot train` would run there, where the model is here; of one that is not, what the recipe says."""
    from oneshot_rlvr.commands.planner import name_here
    from oneshot_rlvr.config import resolve
    from oneshot_rlvr.config.known import model_folder
    from oneshot_rlvr.policy.model import as_the_model_asks

    config, sources = resolve(recipe, model, [*settings, *(["model.device=cpu"] if gpu == "cpu" else [])])
    if not Path(model_folder(config.model.path)).is_dir():
        return config
    return as_the_model_asks(config, sources, here=gpu == name_here(config.model.device))[0]
