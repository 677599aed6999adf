"""`oneshot paths`: collect reasoning paths of a model; find out how prompt, temperature and examples change them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from oneshot_rlvr.commands.options import Limit, with_commas
from oneshot_rlvr.commands.terminal import Mode, Quiet, Settings, ended_well, plain, show

paths_app = typer.Typer(help="Reasoning paths: what path selectors judge.", no_args_is_help=True)
Target = Annotated[str, typer.Argument(help="A run, checkpoint, model profile, folder, or hub name.")]
Sets = Annotated[list[str] | None, typer.Option("--suite", help="A test set, or a guest's six; repeatable.")]
Problems = Annotated[str | None, typer.Option("--problems", help="A problem file or named set, such as a pool.")]
Temperature = Annotated[float, typer.Option(min=0.05, max=10)]
Seed = Annotated[int, typer.Option(help="Of the random numbers.")]


def collect(
    model: Target,
    suites: Sets = None,
    problems: Problems = None,
    samples: Annotated[int, typer.Option(min=1, max=4096, help="Paths of each problem.")] = 64,
    temperature: Temperature = 1.0,
    hidden: Annotated[bool, typer.Option("--hidden", help="Keep each path's last hidden state.")] = False,
    limit: Limit = None,
    seed: Seed = 0,
    mode: Mode = "default",
    out: Annotated[Path, typer.Option(help="Folder of the paths.")] = Path("runs/paths"),
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Sample, grade and read paths of each problem; shard by shard, so that an interrupted command goes on."""
    from oneshot_rlvr.commands.judging_api import collect_paths
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.grading.features import mean

    with Reporter(quiet).task("Problems", 1) as task:
        groups = collect_paths(
            model,
            problems=problems,
            suites=suites or (),
            samples=samples,
            temperature=temperature,
            hidden=hidden,
            limit=limit,
            seed=seed,
            mode=mode,
            out=out,
            settings=settings or (),
            heard=lambda done, total: task.update(done, "", total),
        )
    rates, mixed = [group.rate for group in groups], sum(group.mixed for group in groups)
    print(f"{len(groups)} problems, {samples} paths each: {100 * mean(rates):.1f} % right; {mixed} with both kinds")


def prompts(
    model: Target,
    suites: Sets = None,
    problems: Problems = None,
    templates: Annotated[str | None, typer.Option(help="Templates, with commas; by default the model's.")] = None,
    temperatures: Annotated[str, typer.Option(help="With commas.")] = "0.3,0.6,1.0",
    shots: Annotated[str, typer.Option(help="Numbers of solved examples before the question, with commas.")] = "0",
    examples: Annotated[str | None, typer.Option(help="Set that the examples are from.")] = None,
    samples: Annotated[int, typer.Option(min=2, max=4096)] = 8,
    limit: Limit = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder of the study.")] = Path("runs/prompts"),
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Ask the same problems in every way: templates x temperatures x examples. Writes `prompts.json` and a page."""
    from oneshot_rlvr.commands.judging_api import prompt_study
    from oneshot_rlvr.commands.progress import Reporter

    with Reporter(quiet).task("Strategies", 1) as task:
        rows = prompt_study(
            model,
            problems=problems,
            suites=suites or (),
            templates=with_commas(templates),
            temperatures=_numbers(temperatures, "--temperatures"),
            shots=[int(n) for n in _numbers(shots, "--shots")],
            examples=examples,
            samples=samples,
            limit=limit,
            seed=seed,
            out=out,
            settings=settings or (),
            heard=lambda done, total: task.update(done, "", total),
        )
    measures = ("avg@k", f"maj@{samples}", f"pass@{samples}", "distinct", "tokens")
    shown = Table("template", "temperature", "examples", *measures)
    for row in rows:
        values = (f"{100 * row[key]:.1f}" for key in ("accuracy", "majority", "any"))
        shown.add_row(
            plain(row["template"]),
            f"{row['temperature']:g}",
            str(row["shots"]),
            *values,
            f"{row['distinct']:.1f}",
            f"{row['tokens']:.0f}",
        )
    show(shown)


def _numbers(text: str, where: str) -> list[float]:
    from oneshot_rlvr.errors import OneshotError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise OneshotError(f"{text!r} is no list of numbers", where=where, fix="Write numbers with commas.") from None


for function in (collect, prompts):
    paths_app.command()(ended_well(function))
