"""`oneshot demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from oneshot_rlvr.commands.terminal import Quiet, Settings, show


def demo(
    out: Annotated[Path, typer.Option(help="Folder for runs, scores and the report.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
    model: Annotated[str, typer.Option(help="organism, second, control, or tiny for a quick look.")] = "organism",
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """The whole paper on the organism: select a problem, train on it alone, evaluate, report. Resumable."""
    from oneshot_rlvr.commands.demo_stages import Demo

    summary = Demo(out, seed, model, tuple(settings or ()), quiet).run()
    table = Table(title=f"Six held-out suites, avg@8 at temperature 0.6 (seed {seed})")
    for heading in ("", "step", "average %", "95 % interval", "greedy %"):
        table.add_column(heading, justify="right" if heading else "left")
    for key, label in (
        ("base", "base"),
        ("one_shot", f"one-shot on {summary['selected']}"),
        ("full", "the whole pool"),
    ):
        row = summary[key]
        low, high = row["interval"]
        step = str(row.get("best_step", 0))
        table.add_row(label, step, f"{row['average']:.1f}", f"{low:.1f} to {high:.1f}", f"{row['greedy']:.1f}")
    show(table)
    print(f"{sum(summary['seconds'].values()):.0f} s. Report: {out / 'report.html'}")
