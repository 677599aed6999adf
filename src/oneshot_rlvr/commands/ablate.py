"""`oneshot ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oneshot_rlvr.commands.options import Limit, ModelName, Samples, Seeds, Steps, Suites, Workers, with_commas
from oneshot_rlvr.commands.terminal import Quiet, Settings
from oneshot_rlvr.config.suites import rows_of, suite_names
from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from oneshot_rlvr.commands.ablation import Asked, Cell


def ablate(
    suite: Annotated[str, typer.Argument(help=f"{', '.join(suite_names())}.")],
    model: ModelName = "organism",
    seeds: Seeds = 3,
    out: Annotated[Path | None, typer.Option(help="Folder of the comparison; by default runs/ablate-SUITE.")] = None,
    steps: Steps = None,
    protocol: Annotated[str, typer.Option(help="How to evaluate; greedy responses are left out.")] = "honest",
    suites: Suites = None,
    limit: Limit = None,
    samples: Samples = None,
    workers: Workers = None,
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Train and evaluate a table of recipes; beside each stands what the paper says. Go on with the same command."""
    from oneshot_rlvr.commands.ablation import Asked, cells_of, run_cells
    from oneshot_rlvr.commands.ablation_table import average_of
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.config.known import MODEL_FOLDERS
    from oneshot_rlvr.files import locked

    folder = out or Path("runs") / f"ablate-{suite}"
    asked = Asked(
        folder,
        model,
        seeds,
        steps,
        settings or (),
        protocol,
        with_commas(suites),
        limit,
        samples,
        workers,
    )
    cells, reasons = cells_of(rows_of(suite, model in MODEL_FOLDERS), asked)
    print(f"{len({cell.row.name for cell in cells})} rows, {seeds} seeds, folder {folder}")
    for row, reason in reasons.items():
        print(f"Left out: {row}: {reason}")

    def heard(cell: Cell, done: int, total: int) -> None:
        average = average_of([cell.result()["rates"]])
        task.update(done, f"{cell.row.name} seed {cell.seed}: {average:.1f} %", total)

    with locked(folder, "comparison"), Reporter(quiet).task(f"Comparing {suite}", len(cells)) as task:
        failed = run_cells(cells, heard)
        print(_written(folder, cells, _command(suite, asked)), end="")
    print(f"{folder / 'table.md'}, {folder / 'table.json'}")
    for cell_name, reason in failed.items():
        print(f"Failed: {cell_name}: {reason}")
    if failed:
        raise OneshotError(f"{len(failed)} cells failed", where=folder, fix="They are run again by the same command.")


def _written(folder: Path, cells: Sequence[Cell], command: str) -> str:
    """The table's files: as JSON, for people, and what it was made with; returns the one for people."""
    from oneshot_rlvr.commands.ablation_table import markdown, table_of
    from oneshot_rlvr.files import write_atomically, write_json
    from oneshot_rlvr.runs.environment import environment

    table = table_of(cells)
    text = markdown(table, f"`{command}`")
    write_json(folder / "table.json", table)
    write_atomically(folder / "table.md", text)
    write_json(folder / "about.json", {**environment(cells[0].config.model.device, 1), "command": command})
    return text


def _command(suite: str, asked: Asked) -> str:
    """What was asked, as it is typed; where it is kept is left out."""
    given = {
        "steps": asked.steps,
        "protocol": None if asked.protocol == "honest" else asked.protocol,
        "suites": ",".join(asked.suites) or None,
        "limit": asked.limit,
        "samples": asked.samples,
    }
    options = [f"--{name} {value}" for name, value in given.items() if value is not None]
    sets = [f"--set {setting}" for setting in asked.settings]
    return " ".join(["oneshot ablate", suite, f"--model {asked.model} --seeds {asked.seeds}", *options, *sets])
