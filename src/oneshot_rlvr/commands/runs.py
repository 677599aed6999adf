"""`oneshot runs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from oneshot_rlvr.runs import Run

DEEPEST = 3  # folders below the one that is asked for


def runs(
    folder: Annotated[Path, typer.Argument(help="Where to look for run folders.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List the run folders: recipe, model, how far, reward, validation, and whether each is going on."""
    from oneshot_rlvr.commands.terminal import plain, show

    if not folder.is_dir():
        raise OneshotError("no such folder", where=folder, fix="Give the folder that your runs are in.")
    rows = [described(run) for run in found(folder)]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    if not rows:
        print(f"No run under {folder}. Start one: oneshot train grpo")
        return
    table = Table("run", "recipe", "model", "step", "reward", "validation", "state")
    for row in rows:
        reward = "" if row["reward"] is None else f"{row['reward']:.3f}"
        validation = "" if row["validation"] is None else f"{row['validation']:.1f}"
        cells = (row["run"], row["recipe"], row["model"], f"{row['step']}/{row['steps']}", reward, validation)
        table.add_row(*map(plain, (*cells, row["state"])))
    show(table)


def found(folder: Path, depth: int = DEEPEST) -> Iterator[Run]:
    """The runs in a folder and below it, by name; links are not followed."""
    from oneshot_rlvr.runs import Run

    run = Run(folder)
    if run.started:
        yield run
    elif depth:
        for below in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
            yield from found(below, depth - 1)


def described(run: Run) -> dict[str, Any]:
    """A run in a line; one that cannot be read has its trouble for a state."""
    row: dict[str, Any] = dict.fromkeys(("recipe", "model"), "") | dict.fromkeys(("step", "steps"), 0)
    row |= {"run": str(run.path), "reward": None, "validation": None}
    try:
        config, lines = run.config, run.metrics()
        row |= {"recipe": config.recipe, "model": Path(config.model.path).name, "steps": config.run.steps}
        validations = [value for line in lines for name, value in line.items() if name.startswith("validation/")]
        if lines:
            row |= {"step": int(lines[-1]["step"]), "reward": lines[-1]["reward/mean"]}
        return row | {"validation": validations[-1] if validations else None, "state": run.state}
    except OneshotError as error:
        return row | {"state": f"damaged: {error}"[:200]}
