"""`oneshot select study`: one-shot runs over a ranking. `oneshot select loop`: rank between bursts of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oneshot_rlvr.commands.options import (
    Limit,
    ModelName,
    PoolArgument,
    RecipeName,
    Samples,
    Seeds,
    Steps,
    Suites,
    Workers,
    with_commas,
)
from oneshot_rlvr.commands.select import PastAccuracy, Probed
from oneshot_rlvr.commands.terminal import Quiet, Settings, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oneshot_rlvr.commands.ablation import Cell
    from oneshot_rlvr.selection import Candidates, Ranked


KEPT = ("gain", "gain_interval", "last", "average", "by_seed", "training_seeds", "seeds")  # of a row of the table


def study(
    pool: PoolArgument = "organism",
    history: PastAccuracy = None,
    probes: Probed = None,
    problems: Annotated[int, typer.Option(min=2, help="How many, at equal steps over the ranking by std.")] = 100,
    seeds: Seeds = 3,
    model: ModelName = "organism",
    recipe: RecipeName = "grpo",
    steps: Steps = None,
    suites: Suites = None,
    limit: Limit = None,
    samples: Samples = None,
    workers: Workers = None,
    out: Annotated[Path, typer.Option(help="Folder of the study.")] = Path("runs/selection"),
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Train on each of many problems alone: their gains, and each selector's rank correlation with them. Resumable."""
    from oneshot_rlvr.commands.ablation import Asked, cells_of
    from oneshot_rlvr.commands.choosing import candidates_of
    from oneshot_rlvr.config.suites import Row
    from oneshot_rlvr.errors import OneshotError
    from oneshot_rlvr.selection import rank
    from oneshot_rlvr.selection.study import spread

    if history is None:
        raise OneshotError(
            "there is no ranking to spread over", where="--history", fix="Give a run: oneshot train grpo-full."
        )
    candidates = candidates_of(pool, history, probes)
    chosen = spread(rank(candidates), problems)
    rows = [  # an id may be any text, and a row's name is a folder's
        Row(f"pi_{row.rank}", recipe, settings={"data.problems": pool, "data.only": json.dumps([row.id])})
        for row in chosen
    ]
    asked = Asked(out, model, seeds, steps, settings or (), "honest", with_commas(suites), limit, samples, workers)
    cells, reasons = cells_of(rows, asked)
    print(f"{len(chosen)} problems, {seeds} seeds, folder {out}")
    for row, reason in reasons.items():
        print(f"Left out: {row}: {reason}")
    run_and_tell(cells, "study", quiet, lambda: _written(out, cells, candidates, chosen))


def run_and_tell(cells: Sequence[Cell], lock: str, quiet: bool, written: Callable[[], str]) -> None:
    """Run what is missing of a folder's cells, and print what is then `written`.

    Raises:
        OneshotError: some failed; what there is was written all the same.
    """
    from oneshot_rlvr.commands.ablation import run_cells
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.errors import OneshotError
    from oneshot_rlvr.files import locked

    out = cells[0].asked.out
    with locked(out, lock), Reporter(quiet).task("Runs", len(cells)) as task:
        failed = run_cells(cells, lambda cell, done, total: task.update(done, f"{cell.row.name} {cell.seed}", total))
        print(plain(written()), end="")
    if failed:
        name, reason = next(iter(failed.items()))
        raise OneshotError(f"{len(failed)} runs failed: {name}: {reason}", where=out, fix="Run the command again.")


def _written(out: Path, cells: Sequence[Cell], candidates: Candidates, chosen: Sequence[Ranked]) -> str:
    """`selection.json`, what it was made with, a page with the gains; returns the table for people."""
    from oneshot_rlvr.commands.ablation_table import table_of
    from oneshot_rlvr.files import write_json
    from oneshot_rlvr.reporting.curves import write_gains
    from oneshot_rlvr.runs.environment import environment
    from oneshot_rlvr.selection.study import agreement_of_seeds, ceiling, predictions

    table = table_of(cells)
    rows: list[dict[str, Any]] = []
    for row in chosen:
        if "gain" in (found := table.get(f"pi_{row.rank}", {})):
            rows.append({**row.to_json(), **{key: found[key] for key in KEPT}})
    if len(rows) < 2:
        return "Fewer than two problems have a result.\n"
    seeds = min(row["seeds"] for row in rows)
    by_seed = [dict(zip(row["training_seeds"], row["by_seed"], strict=True)) for row in rows]
    common = [seed for seed in by_seed[0] if all(seed in found for found in by_seed)]  # some may have failed
    agreement = agreement_of_seeds([[found[seed] for seed in common] for found in by_seed])
    found = {
        "model": cells[0].asked.model,
        "recipe": cells[0].row.recipe,
        "problems": len(rows),
        "seeds": seeds,
        "agreement_of_seeds": agreement,
        "ceiling": ceiling(agreement, seeds),
        "selectors": predictions(candidates, {row["index"]: row["gain"] for row in rows}),
        "gains": rows,
    }
    if candidates.probes is not None:
        found["learned"] = _learned(candidates, rows)
    write_json(out / "selection.json", found)
    write_json(out / "about.json", environment(cells[0].config.model.device, 1))
    write_gains(out / "gains.html", rows)
    return _markdown(found)


def _learned(candidates: Candidates, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A ranking learned from the probes, each problem's forecast by a fit on the others; beside guessing their mean."""
    from oneshot_rlvr.selection.forecast import FEWEST, Forecaster, Tried
    from oneshot_rlvr.selection.study import error_of_the_mean, root_mean_square, skill_of_left_out

    asked, probes = {p.id: p.question for p in candidates.texts()}, candidates.probes or {}
    known = [(Tried(probes[row["id"]], asked[row["id"]]), row["gain"]) for row in rows if row["id"] in probes]
    if len(known) < FEWEST:
        return {"spearman": None, "why": f"{len(known)} problems of the study have probes"}
    gains = [gain for _, gain in known]
    tried = [one for one, _ in known]
    guesses = Forecaster.fit(tried, gains).left_out()
    correlation, interval = skill_of_left_out(guesses, gains)
    error = root_mean_square([guess - gain for guess, gain in zip(guesses, gains, strict=True)])
    return {"spearman": correlation, "interval": interval, "error": error, "error_of_mean": error_of_the_mean(gains)}


def _markdown(found: dict[str, Any]) -> str:
    lines = ["| selector | Spearman with the gain | 95 % interval | p of all together |", "|---|---|---|---|"]
    for name, row in found["selectors"].items():
        if row["spearman"] is None:
            lines.append(f"| {name} | - | {row['why']} | |")
        else:
            span = f"{row['interval'][0]:.2f} to {row['interval'][1]:.2f}"
            lines.append(f"| {name} | {row['spearman']:.2f} | {span} | {row['p_value']:.3f} |")
    learned = found.get("learned")
    if learned is not None and learned["spearman"] is not None:
        low, high = learned["interval"]
        lines += [f"| learned, left out in turn | {learned['spearman']:.2f} | {low:.2f} to {high:.2f} | |", ""]
        lines.append(f"Learned: {learned['error']:.1f} points off; the others' mean {learned['error_of_mean']:.1f}.")
    gains = sorted(found["gains"], key=lambda row: -row["gain"])
    lines.append("")
    if found["ceiling"] is not None:
        lines.append(
            f"Gains of two seeds correlate {found['agreement_of_seeds']:.2f};",
        )
        lines.append(f"with their average a forecast can reach about {found['ceiling']:.2f}.")
    lines += [
        f"{what}: {row['id']} (pi_{row['rank']}) {row['gain']:+.1f} points"
        for what, row in (("Most", gains[0]), ("Median", gains[len(gains) // 2]), ("Least", gains[-1]))
    ]
    return "\n".join(lines) + "\n"


def loop(
    pool: PoolArgument = "organism",
    by: Annotated[str, typer.Option(help="A selector that can rank by one round's responses.")] = "disagreement",
    rounds: Annotated[int, typer.Option(min=1, max=1000)] = 4,
    burst: Annotated[int, typer.Option(min=1, help="Steps of training between two rankings.")] = 25,
    pick: Annotated[int, typer.Option(min=1, help="How many of the first are trained on.")] = 1,
    probe: Annotated[int, typer.Option(min=1, help="Responses to each problem, to rank by.")] = 8,
    among: Annotated[int | None, typer.Option(min=2, help="Only the first problems of the pool.")] = None,
    model: ModelName = "organism",
    recipe: RecipeName = "grpo",
    suites: Annotated[str, typer.Option(help="Problem sets to evaluate on, with commas.")] = "organism",
    limit: Limit = None,
    samples: Annotated[int, typer.Option(min=1, help="k of avg@k.")] = 8,
    seed: Annotated[int, typer.Option()] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the loop.")] = Path("runs/loop"),
    settings: Settings = None,
) -> None:
    """Rank, a short burst of training, rank again; against the first choice kept, at equal tokens. Resumable."""
    from oneshot_rlvr.commands.curriculum import Loop, run_loop
    from oneshot_rlvr.evaluation.target import named_suites
    from oneshot_rlvr.files import locked, write_json
    from oneshot_rlvr.problems import find_problems

    problems = find_problems(pool)[:among]
    tests = named_suites(suites.split(","), limit)
    sizes = {"rounds": rounds, "burst": burst, "pick": pick, "probe": probe, "samples": samples, "seed": seed}
    asked = Loop(out, pool, problems, tests, model, recipe, by, settings=settings or (), **sizes)
    with locked(out, "loop"):
        found = run_loop(asked, lambda line: print(plain(line)))
    write_json(out / "loop.json", found)
    averages, tokens = found["averages"], found["tokens"]
    print(f"base {averages['base']:.1f} %")
    print(f"loop {averages['loop']:.1f} % after {tokens['loop']:,} tokens, probes among them")
    print(f"fixed {averages['fixed']:.1f} % after {tokens['fixed']:,} tokens ({found['fixed_step']} steps)")
    low, high = found["interval"]
    print(
        f"loop - fixed: {found['loop_minus_fixed']:+.1f} points ({low:+.1f} to {high:+.1f}), p {found['p_value']:.3f}"
    )
