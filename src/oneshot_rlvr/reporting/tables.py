"""The page's tables: ours in the paper's layout, and the paper's own numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from oneshot_rlvr.problems.benchmarks import title_of
from oneshot_rlvr.reporting.collect import Group, RunData
from oneshot_rlvr.runs import ModelScores

Row = dict[str, Any]
MOST_SAID = 3  # settings in a line


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
    """Suites, and a line for each base, for the base under other templates, and for each group's chosen checkpoints.

    What groups differ in stands in their lines. One run: 95 % intervals over problems. Several seeds: the mean, with
    the range from the least to the greatest seed.
    """
    scored = [group for group in groups if all(run.best for run in group.runs)]
    if not scored:
        return [], []
    main = scored[0].runs[0]
    suites = main.suites
    shown = [group for group in scored if _asked_too(group, suites)]
    lines = [line for run in _one_a_base(shown) for line in _bases(run, main, suites)]
    differing, alike = _differing(shown), len({run.asked for group in shown for run in group.runs}) == 1
    return suites, [*lines, *(_of_group(group, suites, differing, alike) for group in shown)]


def left_out(groups: Sequence[Group], suites: Sequence[str]) -> list[str]:
    """The groups that a table of these suites cannot show."""
    return [group.name for group in groups if suites and not _asked_too(group, suites)]


def _asked_too(group: Group, suites: Sequence[str]) -> bool:
    return all(run.best and set(suites) <= set(run.suites) for run in group.runs)


def _one_a_base(groups: Sequence[Group]) -> list[RunData]:
    """A run for each base model and way of evaluating it."""
    found: dict[tuple[str, str], RunData] = {}
    for run in (run for group in groups for run in group.runs):
        if run.base is not None:
            found.setdefault((json.dumps(run.configuration["model"], sort_keys=True), run.asked), run)
    return list(found.values())


def _bases(run: RunData, main: RunData, suites: Sequence[str]) -> list[Line]:
    """The base of a run, and the base under other templates; what differs from the page's subject is said."""
    assert run.base is not None
    path = run.configuration["model"]["path"]
    said = [] if path == main.configuration["model"]["path"] else [Path(path).name]
    said += _problems_of(run) if run.asked != main.asked else []
    bases = {run.protocol.get("template", ""): run.base, **run.scores.baselines}
    return [
        _of_score("base", ", ".join([f"template {template}", *said]), scores, suites)
        for template, scores in bases.items()
        if set(suites) <= set(scores.suites)
    ]


def _problems_of(run: RunData) -> list[str]:
    """How many samples of how many problems, where runs were not evaluated alike."""
    assert run.scores
    return [f"{run.scores.first.average.n} problems, {run.metric}"]


def _differing(groups: Sequence[Group]) -> list[str]:
    """The settings in which groups differ, but for what a line says anyhow."""
    settings = [group.runs[0].settings for group in groups]
    keys = dict.fromkeys(key for values in settings for key in values)
    said = ("recipe", "algorithm.reward", "data.problems")
    return [k for k in keys if k not in said and len({json.dumps(values.get(k)) for values in settings}) > 1]


def _of_score(label: str, note: str, scores: ModelScores, suites: Sequence[str]) -> Line:
    rows = [scores.all()[suite] for suite in (*suites, "average")]
    return Line(label, note, [(row.accuracy, row.interval) for row in rows], 100 * scores.average.boxed)


def _of_group(group: Group, suites: Sequence[str], differing: Sequence[str], alike: bool) -> Line:
    runs = group.runs
    chosen = [run.best for run in runs if run.best is not None]
    label = kind_of(runs[0]) if len({kind_of(run) for run in runs}) == 1 else kind_of(runs[0]).split(",")[0]
    values = runs[0].settings
    said = [f"{key.partition('.')[2]}={values.get(key)}" for key in differing[:MOST_SAID]]
    said += ["..."] if len(differing) > MOST_SAID else []
    said += [] if alike else _problems_of(runs[0])
    if len(runs) == 1:
        return _of_score(label, ", ".join([group.name, str(runs[0].best_name), *said]), chosen[0], suites)
    cells = []
    for suite in (*suites, "average"):
        found = [scores.all()[suite].accuracy for scores in chosen]
        cells.append((sum(found) / len(found), (min(found), max(found))))
    boxed = 100 * sum(scores.average.boxed for scores in chosen) / len(chosen)
    return Line(label, ", ".join([f"{group.name}: {len(runs)} seeds, least to greatest", *said]), cells, boxed)


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
