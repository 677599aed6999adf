"""`oneshot select few`: how few problems give what the whole pool gives, well chosen and by chance."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
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
from oneshot_rlvr.commands.study import run_and_tell
from oneshot_rlvr.commands.terminal import Quiet, Settings
from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from oneshot_rlvr.commands.ablation import Asked, Cell
    from oneshot_rlvr.config.suites import Row

POOL, CHOSEN, CHANCE = "pool", "chosen", "random"
WITHIN = 1.0  # point of the pool's average


def few(
    pool: PoolArgument = "organism",
    history: PastAccuracy = None,
    probes: Probed = None,
    by: Annotated[str, typer.Option(help="The selector whose first problems are taken.")] = "std",
    sizes: Annotated[str, typer.Option(help="How many problems, with commas.")] = "1,2,4,8,16",
    seeds: Seeds = 3,
    model: ModelName = "organism",
    recipe: RecipeName = "grpo",
    steps: Steps = None,
    suites: Suites = None,
    limit: Limit = None,
    samples: Samples = None,
    workers: Workers = None,
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("runs/few"),
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """The first 1, 2, 4, ... of a ranking, as many by chance, and the whole pool: what each gives. Resumable."""
    from oneshot_rlvr.commands.ablation import Asked
    from oneshot_rlvr.commands.choosing import candidates_of
    from oneshot_rlvr.selection import rank

    candidates = candidates_of(pool, history, probes)
    empty = {p.id for p in candidates.problems or () if not p.answer.strip()}
    ids = [row.id for row in rank(candidates, by) if row.score is not None and row.id not in empty]
    counts = _counts(sizes, len(ids))
    asked = Asked(out, model, seeds, steps, settings or (), "honest", with_commas(suites), limit, samples, workers)
    cells = [cell for seed in range(seeds) for cell in cells_of_a_seed(seed, ids, counts, pool, recipe, asked)]
    print(f"{len(counts)} sizes, {seeds} seeds, folder {out}")
    run_and_tell(cells, "few", quiet, lambda: _written(cells, {"by": by, "chosen": ids[: counts[-1]]}, counts))


def _written(cells: Sequence[Cell], about: dict[str, Any], counts: Sequence[int]) -> str:
    """`few.json`, what it was made with, a page; returns the table for people."""
    from oneshot_rlvr.commands.ablation_table import difference, table_of
    from oneshot_rlvr.files import write_json
    from oneshot_rlvr.reporting.curves import write_sizes
    from oneshot_rlvr.runs.environment import environment

    named = {name: [cell for cell in cells if cell.row.name == name] for name in {cell.row.name for cell in cells}}
    below = {name: difference(same, named[POOL]) for name, same in named.items() if name != POOL}
    out, found = cells[0].asked.out, {**about, **summary(table_of(cells), counts, below)}
    write_json(out / "few.json", found)
    write_sizes(out / "few.html", found["sizes"], found["pool"])
    write_json(out / "about.json", environment(cells[0].config.model.device, 1))
    return _markdown(found)


def _counts(text: str, most: int) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    counts = sorted({int(word) for word in words if word.isdecimal() and len(word) < 8})
    if len(counts) != len(words) or not 1 <= counts[0] <= counts[-1] <= most:
        raise OneshotError(f"cannot read the sizes {text!r}", where="--sizes", fix=f"Write 1,2,4; at most {most}.")
    return counts


def cells_of_a_seed(
    seed: int, ids: Sequence[str], counts: Sequence[int], pool: str, recipe: str, asked: Asked
) -> list[Cell]:
    """A seed's runs: the first of the ranking, as many drawn by chance (nested, like those), and the pool."""
    from oneshot_rlvr.commands.ablation import cells_of
    from oneshot_rlvr.config.suites import Row

    drawn = random.Random(seed).sample(sorted(ids), counts[-1])

    def row(name: str, only: Sequence[str]) -> Row:
        return Row(name, recipe, settings={"data.problems": pool, "data.only": json.dumps(list(only))})

    rows = [row(f"{what}-{n}", order[:n]) for what, order in ((CHOSEN, ids), (CHANCE, drawn)) for n in counts]
    cells, reasons = cells_of([*rows, row(POOL, [])], asked, [seed])
    for name, reason in reasons.items():
        raise OneshotError(reason, where=name, fix="Leave that problem out of the pool.")
    return cells


def summary(
    table: dict[str, dict[str, Any]], counts: Sequence[int], below: dict[str, dict[str, Any] | None]
) -> dict[str, Any]:
    """Each size's figures, and the smallest whose average is within `WITHIN` of the pool's; None where none is.

    `below` has the rows' differences from the pool on the same problems, with their intervals.
    """

    def kept(name: str) -> dict[str, Any] | None:
        keys = ("average", "interval", "gain", "by_seed", "seeds")
        if name not in table:
            return None
        return {key: table[name][key] for key in keys if key in table[name]} | (
            {"minus_pool": below[name]} if name in below else {}
        )

    whole = kept(POOL)
    found: dict[str, Any] = {"pool": whole, "sizes": {}, "smallest_within_a_point": {}}
    for what in (CHOSEN, CHANCE):
        rows = {str(n): kept(f"{what}-{n}") for n in counts}
        found["sizes"][what] = rows
        near = [
            int(n)
            for n, one in rows.items()
            if one is not None and whole is not None and one["average"] >= whole["average"] - WITHIN
        ]
        found["smallest_within_a_point"][what] = min(near, default=None)
    return found


def _markdown(found: dict[str, Any]) -> str:
    lines = ["| problems | chosen | by chance |", "|---|---|---|"]
    for n, chosen in found["sizes"][CHOSEN].items():
        lines.append(f"| {n} | {_said(chosen)} | {_said(found['sizes'][CHANCE][n])} |")
    whole = found["pool"]
    lines.append(f"| the pool | {'-' if whole is None else _span(whole['average'], whole['interval'], '.1f')} | |")
    for what, n in found["smallest_within_a_point"].items():
        lines.append(f"Within {WITHIN:g} point of the pool, {what}: {'none of these sizes' if n is None else n}")
    return "\n".join(lines) + "\n"


def _said(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    beside = row["minus_pool"]
    said = "" if beside is None else f"; {_span(beside['points'], beside['interval'], '+.1f')} from the pool"
    return _span(row["average"], row["interval"], ".1f") + said


def _span(value: float, interval: Sequence[float], how: str) -> str:
    return f"{value:{how}} ({interval[0]:{how}} to {interval[1]:{how}})"
