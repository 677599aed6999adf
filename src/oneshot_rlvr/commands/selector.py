"""`oneshot selector`: train path selectors, compare them, apply one to anyone's solutions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from oneshot_rlvr.commands.options import Limit, ModelName, Seeds
from oneshot_rlvr.commands.terminal import Settings, ended_well, plain, show

if TYPE_CHECKING:
    from collections.abc import Mapping

selector_app = typer.Typer(help="Path selectors: which candidate answer to believe.", no_args_is_help=True)
Model = Annotated[
    str, typer.Option("--model", help="Who reads the paths: a run, checkpoint, profile, folder, hub name.")
]
Columns = Annotated[
    str | None, typer.Option(help="What columns are called: question=q,solution=text,answer=gold,given=score,right=ok.")
]


def train(
    selector: Annotated[str, typer.Argument(help='As "probe(shots=1)"; `oneshot methods` lists them.')],
    paths: Annotated[str, typer.Option("--paths", help="Folder of collected paths, or solutions with answers.")],
    model: Model = "",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    columns: Columns = None,
    out: Annotated[Path, typer.Option(help="Folder of the selector.")] = Path("runs/selector"),
    settings: Settings = None,
) -> None:
    """Fit a selector on graded paths, with its calibration; problems that are all right or all wrong teach nothing."""
    from oneshot_rlvr.commands.judging_api import train_selector

    about = train_selector(
        selector, paths, model=model or None, seed=seed, columns=_columns(columns), out=out, settings=settings or ()
    )
    print(plain(f"{selector} of {about['problems']} problems, {about['mixed']} with right and wrong paths: {out}"))


def compare(
    test: Annotated[str, typer.Option("--paths", help="Paths to judge: a folder, or solutions with answers.")],
    train: Annotated[str | None, typer.Option(help="Paths to learn from; without, each problem is left out.")] = None,
    selectors: Annotated[list[str] | None, typer.Option("--selector", help="Repeatable; by default all.")] = None,
    model: Model = "",
    seeds: Seeds = 3,
    columns: Columns = None,
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("runs/selectors"),
    settings: Settings = None,
) -> None:
    """Which selector is believed rightly: `comparison.json` and a page. Splits are by problem."""
    from oneshot_rlvr.commands.judging_api import compare_selectors

    rows = compare_selectors(
        test,
        train=train,
        selectors=selectors or (),
        model=model or None,
        seeds=seeds,
        columns=_columns(columns),
        out=out,
        settings=settings or (),
        heard=lambda name: print(plain(name), flush=True),
    )
    n = next(iter(rows.values()))["n"]
    shown = Table()
    shown.add_column("selector")
    for measure in ("AUROC", f"best of {n}", f"over majority at {n}"):
        shown.add_column(measure, no_wrap=True)
    for name, row in rows.items():
        low, high = row["interval"]
        over = f"{100 * row['over_majority']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        shown.add_row(plain(name), _share(row["auroc"]), f"{100 * row['best_of'][str(n)]:.1f}", over)
    show(shown)


def apply(
    solutions: Annotated[str, typer.Argument(help="jsonl with question and solution, or a folder of paths.")],
    selector: Annotated[Path, typer.Option("--selector", help="Folder of a trained selector.")],
    columns: Columns = None,
    seed: Annotated[int, typer.Option(help="Breaks ties.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the rows as jsonl.")] = None,
) -> None:
    """Score anyone's solutions: the probability that each is right, and where it first seems to go wrong."""
    from oneshot_rlvr.commands.applying import applied
    from oneshot_rlvr.files import write_atomically

    rows = applied(selector, solutions, _columns(columns), seed)
    if out is not None:
        write_atomically(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    shown = Table("problem", "solution", "P(right)", "answer", "chosen", "first doubt")
    for row in rows:
        doubt = row["first_doubt"]
        said = "-" if doubt is None else f"{doubt['text'].strip()[:40]!r} ({doubt['probability']:.2f})"
        chosen = "*" if row["chosen"] else ""
        values = (str(row["solution"]), f"{row['probability']:.2f}", row["extracted"] or "-", chosen, said)
        shown.add_row(plain(str(row["problem"])[:30]), *map(plain, values))
    show(shown)


def loop(
    labelled: Annotated[str, typer.Option(help="Problems whose answers are known: a file, or one-shot.")] = "one-shot",
    pool: Annotated[str, typer.Option(help="Problems whose answers nobody looks at.")] = "organism",
    suites: Annotated[str, typer.Option(help="Problem sets to evaluate on, with commas.")] = "organism",
    selector: Annotated[str, typer.Option(help="What is fitted on the labelled problems' paths.")] = "hidden",
    model: ModelName = "organism",
    steps: Annotated[int, typer.Option(min=1, help="Of one-shot GRPO; the others take as many tokens.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Of expert iteration, and of training in turns.")] = 4,
    paths: Annotated[int, typer.Option(min=2, help="Of each labelled problem, for the selector.")] = 64,
    samples: Annotated[int, typer.Option(min=1, help="Of each test problem.")] = 8,
    limit: Limit = None,
    seed: Annotated[int, typer.Option()] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the loop.")] = Path("runs/closed"),
    settings: Settings = None,
) -> None:
    """Close the loop: best-of-n, the selector's belief as the reward, expert iteration, both in turns. Resumable."""
    from oneshot_rlvr.commands.judging_api import close_loop

    found = close_loop(
        model,
        labelled=labelled,
        pool=pool,
        suites=suites.split(","),
        selector=selector,
        steps=steps,
        rounds=rounds,
        paths=paths,
        samples=samples,
        limit=limit,
        seed=seed,
        out=out,
        settings=settings or (),
        heard=lambda line: print(plain(line), flush=True),
    )
    shown = Table("way", f"avg@{samples}", f"maj@{samples}", f"best of {samples}", "tokens", "less one-shot GRPO")
    for name, row in found["ways"].items():
        values = (f"{100 * row[key]:.1f}" for key in ("average", "majority", "best_of"))
        tokens, over = f"{row['tokens']:,}" if "tokens" in row else "0", ""
        if "interval" in row:
            low, high = row["interval"]
            over = f"{100 * row['minus_one_shot']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        shown.add_row(name, *values, tokens, over)
    show(shown)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _columns(text: str | None) -> Mapping[str, str] | None:
    from oneshot_rlvr.errors import OneshotError

    if text is None:
        return None
    pairs: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise OneshotError(f"cannot read {part!r}", where="--columns", fix="Write question=q,solution=text.")
        pairs[name.strip()] = value.strip()
    return pairs


for function in (train, compare, apply, loop):
    selector_app.command()(ended_well(function))
