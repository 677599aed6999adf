"""`oneshot problems`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from oneshot_rlvr.commands.terminal import plain


def problems(
    source: Annotated[
        str | None, typer.Argument(help="A problem file or named set; without it, the named sets.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
) -> None:
    """List named problem sets, or the problems of one."""
    from oneshot_rlvr.grading.audit import audit_golds, summary
    from oneshot_rlvr.problems import find_problems, named_sets

    if source is None:
        for name, path in named_sets().items():
            print(f"{name:24} {path}")
        return
    found = find_problems(source)
    print(f"{len(found)} problems")
    table = Table("id", "question", "answer")
    for problem in found[:limit]:
        table.add_row(*(plain(text) for text in (problem.id, problem.question, problem.answer)))
    Console().print(table)
    for line in summary(audit_golds(found), len(found)):
        print(plain(f"Note: {line}"))
