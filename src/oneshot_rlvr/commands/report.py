"""`oneshot report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; the first is the page's subject.")],
    out: Annotated[Path | None, typer.Option(help="By default RUN/report.html.")] = None,
    selectors: Annotated[
        list[Path] | None, typer.Option(help="Folder of `selector compare`, `selector loop` or `paths prompts`.")
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="Which evaluation; by default honest, else the newest.")] = None,
) -> None:
    """Write one self-contained HTML page about one or more runs, with findings, slides and their script."""
    from oneshot_rlvr.commands import api

    print(f"Report: {api.report(runs, out=out, protocol=protocol, selectors=selectors or ())}")
