"""`oneshot grade`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from oneshot_rlvr.commands.terminal import Mode, plain


def grade(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN.jsonl", help="Rows with pred and gold, or response and answer; - is standard input."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The rows with their grades; - is standard output.")] = None,
    mode: Mode = "default",
    versus: Annotated[str | None, typer.Option(help="A second mode: show where it disagrees.")] = None,
    answers: Annotated[bool, typer.Option(help="pred is a bare answer, no response.")] = False,
    fallback: Annotated[bool, typer.Option(help="Without a box, take 'the answer is', then the last number.")] = False,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds of symbolic work on one row.")] = 3.0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes for it.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Disagreements to list.")] = 20,
) -> None:
    """Grade any outputs again, and compare two modes on them."""
    from oneshot_rlvr.grading import Grader
    from oneshot_rlvr.grading.rows import confusion, disagreements, grade_rows, read_rows, write_rows

    def graded(name: str) -> list[dict[str, Any]]:
        with Grader(mode=name, timeout=timeout, workers=workers, answers=answers, fallback=fallback) as grader:
            return grade_rows(rows, grader)

    rows, console = read_rows(source), Console(stderr=True)
    ours = graded(mode)
    if out is not None:
        write_rows(ours, out)
    table = Table("outcome", "rows", "%", title=f"{_count(len(rows), 'row')} under {mode}")
    for outcome, count in Counter(row["outcome"] for row in ours).most_common():
        table.add_row(outcome, str(count), f"{100 * count / len(rows):.1f}")
    console.print(table)
    if versus is None:
        return
    theirs = graded(versus)
    table = Table(mode, versus, "rows", title="Where two modes meet")
    for (a, b), count in confusion(ours, theirs).most_common():
        table.add_row(a, b, str(count))
    console.print(table)
    found = disagreements(ours, theirs)
    table = Table(
        "row", "gold", f"{mode} found", mode, f"{versus} found", versus, title=_count(len(found), "disagreement")
    )
    for number, a, b in found[:limit]:
        cells = (str(a["gold"]), str(a["extracted"]), a["outcome"], str(b["extracted"]), b["outcome"])
        table.add_row(str(number), *(plain(cell[:60]) for cell in cells))
    console.print(table)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
