"""The page's tables: ours in the paper's layout, and the paper's own numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from oneshot_rlvr.problems.benchmarks import title_of
from oneshot_rlvr.reporting.collect import Group, RunData
from oneshot_rlvr.runs import ModelScores

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One line: label, note, a (value, range or None) for each suite and their average, the boxed share in percent."""

    label: str
    note: str
    cells: Sequence[tuple[float, tuple[float, float] | None]]
    boxed: float | None
    ours: bool = True


def kind_of(run: RunData) -> str:
    """What a run was trained on, in the paper's words."""
    count, reward = len(run.problems), run.configuration["algorithm"]["reward"]
    what = f"one example, {run.problems[0].id}" if count == 1 else f"{count} examples"
    return what if reward == "accuracy" else f"{reward} reward, {what}"


def results(groups: Sequence[Group]) -> tuple[list[str], list[Line]]:
    """Suites, and a line for the base, for the base under other templates, and for each group's chosen checkpoints.

    One run: 95 % intervals over problems. Several seeds: the mean, with the range from the least to the greatest seed.
    """
    scored = [group for group in groups if all(run.best for run in group.runs)]
    if not scored:
        return [], []
    main = scored[0].runs[0]
    suites, lines = main.suites, []
    if main.base is not None:
        lines.append(_of_score("base", f"template {main.protocol.get('template', '')}", main.base, suites))
    lines += [
        _of_score("base", f"template {template}", scores, suites)
        for template, scores in main.scores.baselines.items()
        if set(suites) <= set(scores.suites)
    ]
    for group in scored:
        if all(set(suites) <= set(run.suites) for run in group.runs):
            lines.append(_of_group(group, suites))
    return suites, lines


def _of_score(label: str, note: str, scores: ModelScores, suites: Sequence[str]) -> Line:
    rows = [scores.all()[suite] for suite in (*suites, "average")]
    return Line(label, note, [(row.accuracy, row.interval) for row in rows], 100 * scores.average.boxed)


def _of_group(group: Group, suites: Sequence[str]) -> Line:
    runs = group.runs
    chosen = [run.best for run in runs if run.best is not None]
    label = kind_of(runs[0]) if len({kind_of(run) for run in runs}) == 1 else kind_of(runs[0]).split(",")[0]
    if len(runs) == 1:
        return _of_score(label, f"{group.name}, {runs[0].best_name}", chosen[0], suites)
    cells = []
    for suite in (*suites, "average"):
        values = [scores.all()[suite].accuracy for scores in chosen]
        cells.append((sum(values) / len(values), (min(values), max(values))))
    boxed = 100 * sum(scores.average.boxed for scores in chosen) / len(chosen)
    return Line(label, f"{group.name}: {len(runs)} seeds, least to greatest", cells, boxed)


def papers() -> tuple[Row, list[str], list[Line]]:
    """The paper's table: where it is from, its suites, its lines."""
    found = json.loads((resources.files("oneshot_rlvr.reporting") / "paper.json").read_text(encoding="utf-8"))
    lines = [
        Line(row["label"], "paper", [(value, None) for value in (*row["values"], row["average"])], row["boxed"], False)
        for row in found["rows"]
    ]
    return found, found["suites"], lines


def headings(suites: Sequence[str]) -> list[str]:
    """Column headings."""
    return [*(title_of(suite) for suite in suites), "average"]
