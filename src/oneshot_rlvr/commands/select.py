"""`oneshot select`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from oneshot_rlvr.commands.terminal import plain


def select(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_OR_HISTORY", help="A run on a pool, or a JSON accuracy history.")
    ],
    top: Annotated[int, typer.Option(min=1)] = 10,
    by: Annotated[str, typer.Option(help="A selector; `oneshot methods` lists them.")] = "variance",
    out: Annotated[Path | None, typer.Option(help="Write the whole ranking here as JSON.")] = None,
) -> None:
    """Rank problems, by default by the variance of their training accuracy."""
    from oneshot_rlvr.commands import api
    from oneshot_rlvr.files import write_json

    ranking = api.select(source, by=by)
    table = Table(title=f"{len(ranking)} problems by {by}")
    for heading in ("pi", "problem", "std", "mean", "visits"):
        table.add_column(heading, justify="right")
    for row in ranking[:top]:
        table.add_row(str(row.rank), plain(row.problem_id), f"{row.std:.4f}", f"{row.mean:.3f}", str(row.visits))
    Console().print(table)
    if out is not None:
        write_json(out, [asdict(row) for row in ranking])
