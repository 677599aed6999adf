"""Everything the page shows, read back from run folders."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oneshot_rlvr.config import flatten
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.runs import EvaluationFolder, ModelScores, Run, Score, Scores, step_name

log = logging.getLogger(__name__)
Row = dict[str, Any]
Curve = tuple[list[int], list[float]]
SHOWN_RESPONSES = 6
OWN = ("run.seed", "run.steps", "run.loggers", "run.keep_trainer_states", "data.only")  # of a run, not of what was done


@dataclass(frozen=True)
class RunData:
    """One run as the report sees it. `scores` are empty if it was not evaluated."""

    name: str
    path: Path
    configuration: dict[str, Any]
    sources: dict[str, str]
    environment: dict[str, Any]
    metrics: list[Row]
    evaluation: EvaluationFolder
    scores: Scores
    chosen: int | None
    summary: Row
    protocol: Row
    examples: Row | None
    problems: list[Problem]
    first_rollouts: list[Row]
    last_rollouts: list[Row]

    @property
    def base(self) -> ModelScores | None:
        """The base's scores."""
        return self.scores.base

    @property
    def best(self) -> ModelScores | None:
        """The scores of the evaluated checkpoint that counts; None if none was evaluated."""
        return None if self.chosen is None else self.scores.checkpoints[self.chosen]

    @property
    def best_name(self) -> str | None:
        """Its name."""
        return None if self.chosen is None else step_name(self.chosen)

    @property
    def over_steps(self) -> dict[int, ModelScores]:
        """The base, as step 0, and the evaluated checkpoints."""
        return ({} if self.base is None else {0: self.base}) | self.scores.checkpoints

    @property
    def suites(self) -> list[str]:
        """What it was evaluated on."""
        return list(self.scores.first.suites) if self.scores else []

    @property
    def metric(self) -> str:
        """The name of the sampled accuracy, `avg@k`."""
        return self.scores.first.average.metric if self.scores else "avg"

    @property
    def steps(self) -> int:
        """How far it was trained."""
        return self.metrics[-1]["step"]

    @property
    def settings(self) -> dict[str, Any]:
        """Its configuration by dotted key, but for the seed, the example and what changes no result."""
        values = flatten(self.configuration)
        return {key: value for key, value in values.items() if key not in OWN} | {"run.steps": self.steps}

    @property
    def asked(self) -> str:
        """How it was evaluated: protocol, template, problems."""
        return json.dumps({key: value for key, value in self.protocol.items() if key != "subject"}, sort_keys=True)

    @property
    def treatment(self) -> str:
        """What was done to the base and how it was evaluated, but for the seed and the example."""
        return json.dumps([self.settings, self.asked, len(self.problems)], sort_keys=True)

    @property
    def example(self) -> str:
        """The problems that it was trained on."""
        return json.dumps([(problem.id, problem.question, problem.answer) for problem in self.problems])

    def curve(self, name: str) -> Curve:
        """A training metric over steps."""
        points = [(line["step"], line[name]) for line in self.metrics if name in line]
        return [step for step, _ in points], [value for _, value in points]

    def score_curve(self, suite: str, value: Callable[[Score], float] = lambda score: score.accuracy) -> Curve:
        """A value of a suite's score over the evaluated steps: by default its accuracy."""
        found = {step: scores.all() for step, scores in self.over_steps.items()}
        points = [(step, value(scores[suite])) for step, scores in found.items() if suite in scores]
        return [step for step, _ in points], [y for _, y in points]

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
    """Runs of one treatment and example whose seeds differ, in order; runs of the same seed stay by themselves.

    Where a treatment's seeds all differ, and its examples all differ too, its runs are one group: the seed selected the
    example.
    """
    treated: dict[str, list[RunData]] = {}
    for run in runs:
        treated.setdefault(run.treatment, []).append(run)
    found: list[list[RunData]] = []
    for members in treated.values():
        selected = all(run.configuration["data"]["only"] for run in members)
        if selected and _seeds_differ(members) and len({run.example for run in members}) == len(members):
            found.append(members)
            continue
        by_example: dict[str, list[RunData]] = {}
        for run in members:
            by_example.setdefault(run.example, []).append(run)
        for same in by_example.values():
            found += [same] if _seeds_differ(same) else [[run] for run in same]
    order = {id(run): place for place, run in enumerate(runs)}
    found.sort(key=lambda members: order[id(members[0])])
    return [Group(_shared_name(members), members) for members in found]


def _seeds_differ(runs: Sequence[RunData]) -> bool:
    return len({run.configuration["run"]["seed"] for run in runs}) == len(runs)


def _shared_name(runs: Sequence[RunData]) -> str:
    more = len(runs) - 1
    return runs[0].name if not more else f"{runs[0].name} and {more} more seed{'s' if more > 1 else ''}"


def collect_all(paths: Sequence[Path], protocol: str | None = None) -> list[RunData]:
    """The runs at these paths, each once; folders of one name are told apart by those that they lie in.

    Raises:
        OneshotError: as `collect` does.
    """
    whole = {path.resolve(): path for path in paths}
    runs, folders = [collect(path, protocol) for path in whole.values()], list(whole)
    names = [run.name for run in runs]
    for depth in range(2, 1 + max((len(folder.parts) for folder in folders), default=0)):
        for place in [i for i, name in enumerate(names) if names.count(name) > 1]:
            names[place] = "/".join(folders[place].parts[-depth:])
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def collect(path: Path, protocol: str | None = None) -> RunData:
    """Read a run folder, with its evaluation under a protocol (see `Run.evaluation`).

    Raises:
        OneshotError: it is no run folder, or has not finished a step.
    """
    run = Run(path)
    config, metrics = run.config, run.metrics()
    if not metrics:
        raise OneshotError("this run has not finished a step yet", where=path, fix="Train it first.")
    done = [step for step in run.rollout_steps() if step <= metrics[-1]["step"]]
    folder = run.evaluation(protocol)
    scores = folder.scores()
    for what in _missing(run, [line["step"] for line in metrics], folder if scores.checkpoints else None):
        log.warning("%s: %s", path, what)
    return RunData(
        name=run.name,
        path=path,
        configuration=config.model_dump(mode="json"),
        sources=run.sources,
        environment=run.environment,
        metrics=metrics,
        evaluation=folder,
        scores=scores,
        chosen=run.chosen_step(scores.checkpoints),
        summary=folder.summary(),
        protocol=folder.protocol(),
        examples=folder.examples(),
        problems=run.problems,
        first_rollouts=_distinct(run.rollouts(done[0])) if done else [],
        last_rollouts=_distinct(run.rollouts(done[-1])) if done else [],
    )


def _missing(run: Run, steps: Sequence[int], folder: EvaluationFolder | None) -> list[str]:
    """What a whole run would have and the page does without."""
    found = set(run.rollout_steps())
    lost = [step_name(step) for step in steps if step not in found]
    said = (
        [f"no rollouts of {', '.join(lost[:3])}{' and others' * (len(lost) > 3)}: the page does without"]
        if lost
        else []
    )
    if folder is not None:
        for name, there in (("summary.json", folder.summary()), ("examples.json", folder.examples())):
            if not there:
                said.append(f"no {folder.path.name}/{name}: the page does without; `oneshot eval` writes it again")
    return said


def _distinct(rows: list[Row]) -> list[Row]:
    """A step's most frequent responses with their counts."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["text"]] = counts.get(row["text"], 0) + 1
    first = {row["text"]: row for row in reversed(rows)}
    frequent = sorted(counts, key=lambda text: -counts[text])[:SHOWN_RESPONSES]
    return [{**first[text], "count": counts[text], "of": len(rows)} for text in frequent]
