"""`oneshot select`: rank the problems of a pool, and compare selectors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from oneshot_rlvr.commands.terminal import default_group, ended_well, plain, show
from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from oneshot_rlvr.selection import Ranked

Pool = Annotated[
    str | None, typer.Argument(help="A problem file, a named set, or a run; not needed with --history alone.")
]
PastAccuracy = Annotated[
    Path | None,
    typer.Option("--history", help="A run on the pool, verl's rollout dumps, or JSON: index to accuracies."),
]
Probed = Annotated[
    Path | None, typer.Option("--probes", help="A file of `oneshot select probe`, for --by that needs it.")
]
Top = Annotated[int, typer.Option(min=1, help="How many are shown, plotted, and written as parquet.")]

select_app = typer.Typer(
    cls=default_group("rank"),
    help="Rank problems: oneshot select [POOL] --history RUN (options: oneshot select rank --help), or compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@select_app.command("rank")
@ended_well
def rank_problems(
    pool: Pool = None,
    history: PastAccuracy = None,
    probes: Probed = None,
    by: Annotated[str, typer.Option(help="A selector; `oneshot methods` lists them.")] = "std",
    top: Top = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the whole ranking as .json, or the top problems as .parquet or .jsonl.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the top problems' curves as a page (.html).")] = None,
) -> None:
    """Rank problems, by default by the standard deviation of their training accuracy, as the paper does."""
    from oneshot_rlvr.commands.choosing import candidates_of, curves_page, write_chosen
    from oneshot_rlvr.files import write_json
    from oneshot_rlvr.selection import rank

    candidates = candidates_of(pool, history, probes)
    ranking = rank(candidates, by)
    if as_json:
        print(json.dumps([row.to_json() for row in ranking[:top]], indent=1))
    else:
        show(_table(ranking[:top], f"{len(ranking)} problems by {by}"))
        for line in _notes(ranking, top):
            print(line)
    if out is not None and out.suffix == ".json":
        write_json(out, [row.to_json() for row in ranking])
    elif out is not None:
        write_chosen(out, candidates, [row.index for row in ranking[:top]])
    if plot is not None:
        curves_page(plot, candidates, ranking[:top], by)


@select_app.command()
@ended_well
def compare(
    pool: Pool = None,
    history: PastAccuracy = None,
    probes: Probed = None,
    by: Annotated[list[str] | None, typer.Option(help="A selector; give at least two.")] = None,
    top: Top = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
) -> None:
    """How far selectors agree: rank correlations of all problems, and choices that they share."""
    from oneshot_rlvr.commands.choosing import candidates_of
    from oneshot_rlvr.selection import agreement, rank

    names = by or ["std", "lim", "half", "random"]
    if len(set(names)) < 2:
        raise OneshotError("one selector has nothing to be compared with", where="--by", fix="Give --by twice.")
    candidates = candidates_of(pool, history, probes)
    rankings = {name: rank(candidates, name) for name in names}
    rows: list[dict[str, Any]] = []
    for a, b in itertools.combinations(rankings, 2):
        correlation, shared = agreement(rankings[a], rankings[b], top)
        rows.append({"a": a, "b": b, "spearman": correlation, "top": top, "shared": shared})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("selectors", "Spearman", f"shared of {top}", "which")
    for row in rows:
        correlation = "-" if row["spearman"] is None else f"{row['spearman']:.2f}"
        which = ", ".join(row["shared"])
        table.add_row(plain(f"{row['a']}, {row['b']}"), correlation, str(len(row["shared"])), plain(which))
    show(table)


def _table(ranking: Sequence[Ranked], title: str) -> Table:
    table = Table(title=plain(title))
    for heading in ("pi", "index", "problem", "score", "mean", "visits"):
        table.add_column(heading, justify="right")
    for row in ranking:
        score = "-" if row.score is None else f"{row.score:.4f}"
        mean, visits = ("-", "-") if row.mean is None else (f"{row.mean:.3f}", str(row.n))
        table.add_row(str(row.rank), str(row.index), plain(row.id), score, mean, visits)
    return table


def _notes(ranking: Sequence[Ranked], top: int) -> list[str]:
    """What a ranking hides: equal scores, whose order is the history's, and problems whose accuracy never moved."""
    from oneshot_rlvr.selection import ties

    lines = [f"Equal scores, in the history's order: pi_{a} to pi_{b}." for a, b in ties(ranking) if a <= top]
    still = [row for row in ranking if row.variance == "0"]
    if still:
        solved = sum(row.mean == 1 for row in still)
        never = sum(row.mean == 0 for row in still)
        lines.append(f"{len(still)} never varied ({never} never solved, {solved} always solved).")
    return lines
