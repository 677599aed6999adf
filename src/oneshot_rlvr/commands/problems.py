"""`oneshot problems`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from oneshot_rlvr.commands.terminal import plain


def _list_sets() -> None:
    """Every name that stands for problems: how many there are, and where they come from."""
    from oneshot_rlvr import organism
    from oneshot_rlvr.errors import OneshotError
    from oneshot_rlvr.problems import find_problems, named_sets
    from oneshot_rlvr.problems.benchmarks import BENCHMARKS

    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("problems", justify="right")
    table.add_column("from")
    sets = named_sets()
    for name in sets:
        where = "the package" if name.partition(":")[0] == organism.SOURCE else "ONESHOT_DATA"
        try:
            count = str(len(find_problems(name)))
        except OneshotError:
            count = "not problems"
        table.add_row(plain(name), count, where)
    for name, benchmark in BENCHMARKS.items():
        if name not in sets:
            table.add_row(name, str(benchmark.rows or ""), f"the hub: {benchmark.repository}")
    Console().print(table)
    print("Or a .jsonl, .csv or .parquet file with question and answer. `oneshot problems NAME` shows what is in one.")


def problems(
    source: Annotated[
        str | None, typer.Argument(help="A problem file or named set; without it, the named sets.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
) -> None:
    """List named problem sets, or the problems of one."""
    from oneshot_rlvr.grading.audit import audit_golds, summary
    from oneshot_rlvr.problems import find_problems

    if source is None:
        _list_sets()
        return
    found = find_problems(source)
    print(f"{len(found)} problems")
    table = Table("id", "question", "answer")
    for problem in found[:limit]:
        table.add_row(*(plain(text) for text in (problem.id, problem.question, problem.answer)))
    Console().print(table)
    for line in summary(audit_golds(found), len(found)):
        print(plain(f"Note: {line}"))
