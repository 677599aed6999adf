"""Everything the page shows, read back from run folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.checkpoints import best_by_validation, run_config
from oneshot_rlvr.problems import Problem, load_problems
from oneshot_rlvr.rundir import RunDir, read_json, step_name

Row = dict[str, Any]
SHOWN_RESPONSES = 6


@dataclass(frozen=True)
class RunData:
    """One run as the report sees it. `scores` maps checkpoint -> suite -> score, empty if it was not evaluated."""

    name: str
    path: Path
    configuration: dict[str, Any]
    sources: dict[str, str]
    environment: dict[str, Any]
    metrics: list[Row]
    scores: dict[str, dict[str, Row]]
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
    def metric(self) -> str:
        """The name of the sampled accuracy, `avg@k`."""
        scored = next(iter(self.scores.values()), {"average": {}})
        return next((key for key in scored["average"] if key.startswith("avg@")), "avg@k")

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """A metric over steps."""
        points = [(line["step"], line[name]) for line in self.metrics if name in line]
        return [step for step, _ in points], [value for _, value in points]

    def metric_names(self, prefix: str) -> list[str]:
        """The recorded metrics whose name starts so."""
        return sorted({name for line in self.metrics for name in line if name.startswith(prefix)})


def collect(path: Path) -> RunData:
    """Read a run folder.

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
    scores, examples = path / "eval" / "scores.json", path / "eval" / "examples.json"
    return RunData(
        name=path.name,
        path=path,
        configuration=config.model_dump(mode="json"),
        sources=record["sources"],
        environment=read_json(path / "environment.json"),
        metrics=metrics,
        scores=read_json(scores) if scores.exists() else {},
        examples=read_json(examples) if examples.exists() else None,
        problems=load_problems(path / "problems.jsonl"),
        first_rollouts=_distinct(run.read_rollouts(done[0])) if done else [],
        last_rollouts=_distinct(run.read_rollouts(done[-1])) if done else [],
        validation_best=best_by_validation(run),
    )


def _distinct(rows: list[Row]) -> list[Row]:
    """A step's most frequent responses with their counts."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["text"]] = counts.get(row["text"], 0) + 1
    first = {row["text"]: row for row in reversed(rows)}
    frequent = sorted(counts, key=lambda text: -counts[text])[:SHOWN_RESPONSES]
    return [{**first[text], "count": counts[text], "of": len(rows)} for text in frequent]
