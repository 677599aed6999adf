"""The table of a comparison: averages with intervals over problems and seeds, beside what the paper says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oneshot_rlvr.commands.ablation import Cell, Rates
from oneshot_rlvr.config.known import MODEL_FOLDERS
from oneshot_rlvr.config.suites import PaperRow, paper
from oneshot_rlvr.evaluation.scoring import percent
from oneshot_rlvr.evaluation.statistics import interval_over_seeds
from oneshot_rlvr.grading.features import mean

Table = dict[str, dict[str, Any]]


def table_of(cells: Sequence[Cell]) -> Table:
    """Each row's figures in percent, by its name.

    `average` and its 95 % `interval` are of the checkpoint that validation chose, over suites, problems and seeds;
    `gain` is the difference from the base asked in the same way, on the same problems; `last` is of the last
    checkpoint. `paper` is the paper's figure, for Qwen2.5-Math-1.5B where a guest stands in for it. Cells without a
    result are left out.
    """
    by_row: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.path.exists():
            by_row.setdefault(cell.row.name, []).append(cell)
    return {name: _row(name, same) for name, same in by_row.items()}


def _row(name: str, cells: Sequence[Cell]) -> dict[str, Any]:
    found = [cell.result() for cell in cells]
    known = all(cell.base.path.exists() for cell in cells)  # it may have failed
    bases = [cell.base.result()["rates"] for cell in cells] if known else []
    rates = [one["rates"] for one in found]
    says = _says(cells[0])
    row: dict[str, Any] = {
        "average": average_of(rates),
        "interval": _interval(rates),
        "paper": None if says is None else says.figure,
        "seeds": len(cells),
        "paper_row": None if says is None else str(says),
        "by_seed": [average_of([one]) for one in rates],
        "training_seeds": [cell.seed for cell in cells],
        "suites": {suite: round(100 * mean([mean(one[suite]) for one in rates]), 1) for suite in rates[0]},
    }
    if cells[0].row.trains:
        if known:
            row["gain"] = round(average_of(rates) - average_of(bases), 2)
            row["gain_interval"] = _interval(rates, bases)
        row |= {
            "last": average_of([one["last"] for one in found]),
            "steps": [one["step"] for one in found],
            "last_steps": [one["last_step"] for one in found],
            "stopped": sum(one["stopped"] for one in found),
            "training_accuracy": [one["training"][-1] for one in found],
            "seconds": round(sum(one["seconds"] for one in found)),
        }
    return row


def difference(cells: Sequence[Cell], minus: Sequence[Cell]) -> dict[str, Any] | None:
    """How many points one row is above another on the same problems, over the seeds that both have a result of."""
    ours, theirs = ({cell.seed: cell.result()["rates"] for cell in row if cell.path.exists()} for row in (cells, minus))
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    pairs = [ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]
    return {"points": round(average_of(pairs[0]) - average_of(pairs[1]), 2), "interval": _interval(*pairs)}


def _says(cell: Cell) -> PaperRow | None:
    """The paper's row: of this model, or of the 1.5B for models that stand in for it; none where sets are named."""
    model = cell.row.model or cell.asked.model
    stands_in = model in MODEL_FOLDERS or model.startswith("qwen2.5-math-1.5b")
    if cell.asked.suites or cell.row.suites:
        return None
    return paper().get(f"{cell.row.recipe}@{model}") or (paper().get(cell.row.name) if stands_in else None)


def average_of(rates: Sequence[Rates]) -> float:
    """The mean over runs and suites of the problems' mean rates, in percent."""
    return round(100 * mean([mean(values) for one in rates for values in one.values()]), 2)


def _interval(rates: Sequence[Rates], minus: Sequence[Rates] | None = None) -> list[float]:
    return [round(end, 2) for end in percent(interval_over_seeds(rates, minus))]


def markdown(table: Table, about: str) -> str:
    """The table for people."""
    lines = [
        f"{about}",
        "",
        "| recipe | the paper's row | paper | here | gain over base | last step | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in table.items():
        here = f"{row['average']:.1f} ({_span(row['interval'])})"
        gain = f"{row['gain']:+.1f} ({_span(row['gain_interval'])})" if "gain" in row else ""
        said = "" if row["paper"] is None else f"{row['paper']:.1f}"
        last = f"{row['last']:.1f}" if "last" in row else ""
        lines.append(f"| {name} | {row['paper_row'] or ''} | {said} | {here} | {gain} | {last} | {row['seeds']} |")
    return "\n".join(lines) + "\n"


def _span(interval: Sequence[float]) -> str:
    return f"{interval[0]:.1f} to {interval[1]:.1f}"
