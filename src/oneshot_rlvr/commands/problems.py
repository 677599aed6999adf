"""`oneshot problems`: what sets there are, what is in one, and building one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from oneshot_rlvr.commands.terminal import default_group, ended_well, plain, show
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems.leaks import SHARE, WORDS, leaks

problems_app = typer.Typer(
    cls=default_group("show"),
    help="List named problem sets, or the problems of one: oneshot problems [SET]. Or build one.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)


def _list_sets() -> None:
    """Every name that stands for problems: how many there are, and where they come from."""
    from oneshot_rlvr import organism
    from oneshot_rlvr.problems import find_problems, named_sets
    from oneshot_rlvr.problems.benchmarks import ON_HUB

    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("problems", justify="right")
    table.add_column("from")
    table.add_column("licence")
    sets = named_sets()
    for name in sets:
        where = "the package" if name.partition(":")[0] == organism.SOURCE else "ONESHOT_DATA"
        try:
            count = str(len(find_problems(name, unlabelled=True)))
        except OneshotError:
            count = "not problems"
        licence = ON_HUB[name].licence if name in ON_HUB else "Apache-2.0" if where == "the package" else ""
        table.add_row(plain(name), count, where, licence)
    for name, known in ON_HUB.items():
        if name not in sets:
            table.add_row(name, str(known.rows or ""), f"the hub: {known.repository}", known.licence)
    show(table)
    print("Or a .jsonl, .csv or .parquet file with question and answer. `oneshot problems NAME` shows what is in one.")
    print("Of the hub: owner/name:split, or 'owner/name:split?question=COLUMN&answer=COLUMN'.")
    print("Other libraries' tasks: 'rg:chain_sum?size=200&seed=1' (reasoning-gym), 'lm:gsm8k?size=50' (lm-eval).")


@problems_app.callback()
@ended_well
def _without_a_name(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _list_sets()


@problems_app.command("show")
@ended_well
def show_problems(
    source: Annotated[str, typer.Argument(help="A problem file or named set.")],
    limit: Annotated[int, typer.Option(min=1)] = 20,
) -> None:
    """List the problems of a set."""
    from oneshot_rlvr.grading.audit import audit_golds, summary
    from oneshot_rlvr.problems import find_problems
    from oneshot_rlvr.problems.catalogue import provenance

    found = find_problems(source)
    print(plain(f"{len(found)} problems. {provenance(source, found)}"))
    table = Table("id", "question", "answer")
    for problem in found[:limit]:
        table.add_row(*(plain(text) for text in (problem.id, problem.question, problem.answer)))
    show(table)
    for line in summary(audit_golds(found), len(found)):
        print(plain(f"Note: {line}"))


KINDS = ("one-shot", "k-shot", "random-k")


@problems_app.command()
@ended_well
def build(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(KINDS)}.")],
    pool: Annotated[str, typer.Option(help="A problem file or named set.")],
    out: Annotated[Path, typer.Option(help="What to write: .parquet in verl's schema, or .jsonl.")],
    history: Annotated[
        Path | None, typer.Option(help="To rank by: a run on the pool, verl's dumps, or JSON: index to accuracies.")
    ] = None,
    rank_by: Annotated[str, typer.Option(help="A selector; `oneshot methods` lists them.")] = "std",
    pick: Annotated[str, typer.Option(help="Ranks, from 1: 1 or 1,13 or 1-16; of random-k how many.")] = "1",
    repeat: Annotated[int, typer.Option(min=1, max=10**6, help="Rows in all of a .parquet, shared equally.")] = 128,
    seed: Annotated[int, typer.Option(help="Of random-k.")] = 0,
    label: Annotated[
        str | None, typer.Option(help="A wrong gold instead: near_miss, guessable, unguessable, or any text.")
    ] = None,
    question: Annotated[
        str | None, typer.Option(help="Of one-shot: ask this instead, a simpler step of it, say.")
    ] = None,
    answer: Annotated[str | None, typer.Option(help="The gold of --question, where it is another.")] = None,
    longest: Annotated[
        int | None,
        typer.Option(min=1, help="Leave out problems with more prompt tokens; ranks are then of the others."),
    ] = None,
    model: Annotated[str, typer.Option(help="The model whose tokens --longest counts.")] = "organism",
) -> None:
    """Build a training set: the problem that a selector ranks first, some by rank, or some by chance."""
    from oneshot_rlvr.commands.choosing import asked_instead, candidates_of, short_enough, with_label, write_chosen
    from oneshot_rlvr.selection import rank

    if kind not in KINDS:
        raise OneshotError(f"no kind of set {kind!r}", where="oneshot problems build", fix=f"Name {', '.join(KINDS)}.")
    candidates = candidates_of(pool, history)
    ranks = [1] if kind == "random-k" else _ranks(pick, len(candidates))
    if kind == "one-shot" and len(ranks) != 1:
        raise OneshotError(f"{len(ranks)} problems are not one", where="--pick", fix="Pick one, or build k-shot.")
    if kind == "random-k":
        usable = [i for i, p in zip(candidates.indices, candidates.texts(), strict=True) if p.answer.strip()]
        if longest is not None:
            usable = short_enough(candidates, usable, longest, model)
        indices = random.Random(seed).sample(usable, _count(pick, len(usable)))
    else:
        ranking = rank(candidates, rank_by)
        ranked = [row.index for row in ranking]
        if longest is not None:
            ranked = short_enough(candidates, ranked, longest, model)
        if max(ranks) > len(ranked):
            raise OneshotError(f"{len(ranked)} problems are short enough", where="--longest", fix="Allow longer ones.")
        indices = [ranked[place - 1] for place in ranks]
    if question is not None or answer is not None:
        candidates = asked_instead(candidates, indices, question, answer)
    if label is not None:
        candidates = with_label(candidates, indices, label)
    copies, left = divmod(repeat, len(indices)) if out.suffix == ".parquet" else (1, 0)
    if left or not copies:
        what = f"{repeat} rows cannot be shared by {len(indices)}"
        raise OneshotError(what, where="--repeat", fix="Give a multiple.")
    chosen = write_chosen(out, candidates, indices, copies)
    print(
        plain(f"{out}: {len(chosen) * copies} rows of {len(chosen)} problems ({', '.join(p.id for p in chosen[:16])})")
    )


def _count(pick: str, most: int) -> int:
    if not (pick.isdecimal() and len(pick) < 10 and 1 <= int(pick) <= most):
        raise OneshotError(f"cannot draw {pick[:40]!r} problems", where="--pick", fix=f"Give 1 to {most}.")
    return int(pick)


def _ranks(pick: str, most: int) -> list[int]:
    """The ranks that a text names, in its order."""
    found: list[int] = []
    for part in pick.split(","):
        first, _, last = part.partition("-")
        ends = [_count(end.strip().removeprefix("pi_"), most) for end in (first, last or first)]
        found += range(ends[0], ends[1] + 1) or [0]
    if 0 in found or len(set(found)) < len(found):
        raise OneshotError(f"cannot pick {pick[:40]!r}", where="--pick", fix="Name each rank once, the lower first.")
    return found


@problems_app.command("leaks")
@ended_well
def find_leaks(
    source: Annotated[str, typer.Argument(help="The training set: a problem file or named set.")],
    against: Annotated[list[str], typer.Option(help="A test set, or paper for the paper's six; repeatable.")],
    words: Annotated[int, typer.Option(min=1, max=100, help="Words and signs of an n-gram.")] = WORDS,
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Of a test question's n-grams: from here on it is nearly the same.")
    ] = SHARE,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
) -> None:
    """Find test problems that a training set has too: equal texts, and those that share most n-grams."""
    from oneshot_rlvr.evaluation.target import named_suites
    from oneshot_rlvr.problems import find_problems

    train = find_problems(source, unlabelled=True)
    suites = named_suites(against, None)
    found = leaks(train, suites, words, share)
    if as_json:
        print(json.dumps([leak.to_json() for leak in found], indent=1))
        return
    table = Table("test set", "problems", "exact", "near", "the first of them (training problem, overlap)")
    for name, problems in suites.items():
        own = [leak for leak in found if leak.suite == name]
        counts = [str(sum(leak.kind == kind for leak in own)) for kind in ("exact", "near")]
        shown = ", ".join(f"{leak.test_id} ({leak.train_id}, {leak.overlap:.0%})" for leak in own[:3])
        table.add_row(plain(name), str(len(problems)), *counts, plain(shown))
    show(table)
