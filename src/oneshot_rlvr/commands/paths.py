"""`oneshot paths`: collect reasoning paths of a model; find out how prompt, temperature and examples change them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from oneshot_rlvr.commands.options import Limit
from oneshot_rlvr.commands.terminal import Mode, Quiet, Settings, ended_well, plain, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oneshot_rlvr.evaluation.protocols import Sampling
    from oneshot_rlvr.problems import Problem

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
    from oneshot_rlvr.commands.judging import Judging
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.files import locked
    from oneshot_rlvr.grading.features import mean
    from oneshot_rlvr.selectors.collect import Collection
    from oneshot_rlvr.selectors.collect import collect as collected
    from oneshot_rlvr.selectors.paths import PathFolder

    judging, folder = Judging(model, settings or ()), PathFolder(out)
    asked = _problems(suites, problems, limit)
    sampling = _sampling(judging.config.sampling.max_new_tokens, samples, temperature, seed)
    collection = Collection(asked, judging.template, sampling, hidden, mode)
    with locked(out, "paths"), Reporter(quiet).task("Problems", len(asked)) as task:
        collected(folder, collection, model, judging.config, judging.policy, lambda done: task.update(done))
    groups = folder.groups()
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
    from oneshot_rlvr.commands.judging import Judging
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.commands.prompting import Strategies, run_strategies
    from oneshot_rlvr.files import locked, write_json
    from oneshot_rlvr.reporting.judging import write_prompts

    judging = Judging(model, settings or ())
    asked = _problems(suites, problems, limit)
    ways = Strategies.of(judging, asked, templates, temperatures, shots, examples)
    sampling = _sampling(judging.config.sampling.max_new_tokens, samples, 1.0, seed)
    with locked(out, "study of prompts"), Reporter(quiet).task("Strategies", len(ways.each)) as task:
        rows = run_strategies(out, judging, ways, sampling, task.update)
    write_json(out / "prompts.json", {"model": model, "problems": len(asked), "samples": samples, "rows": rows})
    write_prompts(out / "prompts.html", rows)
    columns = (
        "template",
        "temperature",
        "examples",
        "avg@k",
        f"maj@{samples}",
        f"pass@{samples}",
        "distinct",
        "tokens",
    )
    shown = Table(*columns)
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


def _problems(suites: Sequence[str] | None, problems: str | None, limit: int | None) -> list[Problem]:
    """What is asked: the suites, or a set."""
    from oneshot_rlvr.evaluation.target import named_suites
    from oneshot_rlvr.problems import default_suites, find_problems

    if problems is not None:
        return find_problems(problems)[:limit]
    return [p for found in named_suites(suites or default_suites(), limit).values() for p in found]


def _sampling(most: int, samples: int, temperature: float, seed: int) -> Sampling:
    from oneshot_rlvr.evaluation.protocols import Sampling

    return Sampling(samples, temperature, greedy=False, max_new_tokens=most, seed=seed)


for function in (collect, prompts):
    paths_app.command()(ended_well(function))
