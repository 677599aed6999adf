"""Everything the page shows, read back from run folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.checkpoints import best_by_validation, run_config
from oneshot_rlvr.evaluation.scoring import accuracy_key
from oneshot_rlvr.evaluation.store import evaluation_of, read_scores
from oneshot_rlvr.problems import Problem, load_problems
from oneshot_rlvr.rundir import RunDir, read_json, step_name, step_of

Row = dict[str, Any]
Curve = tuple[list[int], list[float]]
SHOWN_RESPONSES = 6


@dataclass(frozen=True)
class RunData:
    """One run as the report sees it. `scores` maps checkpoint -> suite -> score in order of steps, empty if it was not
    evaluated; `baselines` are the base's under other templates."""

    name: str
    path: Path
    configuration: dict[str, Any]
    sources: dict[str, str]
    environment: dict[str, Any]
    metrics: list[Row]
    evaluation: Path
    scores: dict[str, dict[str, Row]]
    baselines: dict[str, dict[str, Row]]
    summary: Row
    protocol: Row
    examples: Row | None
    problems: list[Problem]
    first_rollouts: list[Row]
    last_rollouts: list[Row]
    validation_best: int | None

    @property
    def best_name(self) -> str | None:
        """The evaluated checkpoint that validation chose, else the last one; None if nothing was evaluated."""
        trained = [name for name in self.scores if name != "base"]
        if not trained:
            return None
        chosen = step_name(self.validation_best or 0)
        return chosen if chosen in trained else trained[-1]

    @property
    def suites(self) -> list[str]:
        """What it was evaluated on."""
        return [name for name in next(iter(self.scores.values()), {}) if name != "average"]

    @property
    def metric(self) -> str:
        """The name of the sampled accuracy, `avg@k`."""
        return accuracy_key(next(iter(self.scores.values()), {"average": {}})["average"])

    @property
    def treatment(self) -> str:
        """What was done to the base, but for the seed and the example."""
        own = ("seed", "steps", "loggers")
        run = {key: value for key, value in self.configuration["run"].items() if key not in own}
        data = {key: value for key, value in self.configuration["data"].items() if key != "only"}
        rest = {key: value for key, value in self.configuration.items() if key not in ("run", "data")}
        return json.dumps([rest, data, run, len(self.problems)], sort_keys=True)

    @property
    def example(self) -> str:
        """The problems that it was trained on."""
        return json.dumps([(problem.id, problem.question, problem.answer) for problem in self.problems])

    def curve(self, name: str) -> Curve:
        """A training metric over steps."""
        points = [(line["step"], line[name]) for line in self.metrics if name in line]
        return [step for step, _ in points], [value for _, value in points]

    def score_curve(self, suite: str, key: str | None = None) -> Curve:
        """A score of a suite over the evaluated steps; the sampled accuracy if no key is given."""
        points = [(step_of(name), row[suite]) for name, row in self.scores.items() if suite in row]
        keys = [(step, row, key or accuracy_key(row)) for step, row in points]
        return [step for step, row, k in keys if k in row], [row[k] for _, row, k in keys if k in row]

    def metric_names(self, prefix: str) -> list[str]:
        """The recorded metrics whose name starts so."""
        return sorted({name for line in self.metrics for name in line if name.startswith(prefix)})


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed (and, where a seed selects it, in the example)."""

    name: str
    runs: list[RunData]

    def spread(self, curve: Callable[[RunData], Curve]) -> tuple[list[int], list[float], list[float], list[float]]:
        """Steps that all runs have, and the mean, least and greatest value there."""
        curves = [dict(zip(*curve(run), strict=True)) for run in self.runs]
        steps = sorted(set.intersection(*(set(values) for values in curves)))
        values = [[values[step] for values in curves] for step in steps]
        return steps, [sum(v) / len(v) for v in values], [min(v) for v in values], [max(v) for v in values]


def grouped(runs: Sequence[RunData]) -> list[Group]:
    """Runs by treatment and example, in order.

    Runs of one treatment whose seeds all differ, and whose examples all differ too, are one group: the seed selected
    the example.
    """
    treated: dict[str, list[RunData]] = {}
    for run in runs:
        treated.setdefault(run.treatment, []).append(run)
    found: dict[tuple[str, str], list[RunData]] = {}
    for treatment, members in treated.items():
        seeds = {run.configuration["run"]["seed"] for run in members}
        selected = all(run.configuration["data"]["only"] for run in members)
        alone = selected and len(members) == len(seeds) == len({run.example for run in members})
        for run in members:
            found.setdefault((treatment, "" if alone else run.example), []).append(run)
    return [Group(_shared_name(members), members) for members in found.values()]


def _shared_name(runs: Sequence[RunData]) -> str:
    more = len(runs) - 1
    return runs[0].name if not more else f"{runs[0].name} and {more} more seed{'s' if more > 1 else ''}"


def collect(path: Path, protocol: str | None = None) -> RunData:
    """Read a run folder, with its evaluation under a protocol (see `evaluation_of`).

    Raises:
        OneshotError: it is no run folder, or has not finished a step.
    """
    run = RunDir(path)
    config = run_config(run)
    record = read_json(path / "config.json")
    steps = run.rollout_steps()
    metrics = run.metrics()
    if not metrics:
        raise OneshotError("this run has not finished a step yet", where=path, fix="Train it first.")
    done = [step for step in steps if step <= metrics[-1]["step"]]
    folder = evaluation_of(path, protocol)
    scores = read_scores(folder)
    return RunData(
        name=path.resolve().name,
        path=path,
        configuration=config.model_dump(mode="json"),
        sources=record["sources"],
        environment=read_json(path / "environment.json"),
        metrics=metrics,
        evaluation=folder,
        scores=dict(sorted(((k, v) for k, v in scores.items() if "@" not in k), key=lambda item: step_of(item[0]))),
        baselines={name: score for name, score in scores.items() if "@" in name},
        summary=_optional(folder / "summary.json") or {},
        protocol=_optional(folder / "protocol.json") or {},
        examples=_optional(folder / "examples.json"),
        problems=load_problems(path / "problems.jsonl"),
        first_rollouts=_distinct(run.read_rollouts(done[0])) if done else [],
        last_rollouts=_distinct(run.read_rollouts(done[-1])) if done else [],
        validation_best=best_by_validation(run),
    )


def _optional(path: Path) -> Any:
    return read_json(path) if path.exists() else None


def _distinct(rows: list[Row]) -> list[Row]:
    """A step's most frequent responses with their counts."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["text"]] = counts.get(row["text"], 0) + 1
    first = {row["text"]: row for row in reversed(rows)}
    frequent = sorted(counts, key=lambda text: -counts[text])[:SHOWN_RESPONSES]
    return [{**first[text], "count": counts[text], "of": len(rows)} for text in frequent]
