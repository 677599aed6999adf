"""Accuracy histories: what each problem's rollouts were like, each time it was visited in training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import read_json, read_jsonl
from oneshot_rlvr.grading.features import answer_counts, ends_in_its_answer, entropy_of, mean
from oneshot_rlvr.problems.answers import last_boxed
from oneshot_rlvr.runs import Run

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Visit:
    """A problem's rollouts at one step.

    `accuracy` is the share of correct ones. Of a released history nothing else is known: the other fields are None.
    `tokens` is their mean length; `entropy` (nats) and `distinct` are of their answers' normal forms, no answer being
    one; `faithful` is the share whose answer is also the last number of the reasoning before it.
    """

    accuracy: float
    step: int | None = None
    right: int | None = None
    tries: int | None = None
    tokens: float | None = None
    entropy: float | None = None
    distinct: int | None = None
    faithful: float | None = None


History = dict[str, list[Visit]]


def accuracy_history(run: Run) -> History:
    """Each problem's visits in a run, in order of the first one.

    Read from the recorded rollouts, but for hinted ones. All groups of a problem at one step are one visit, whose
    `right` and `tries` are exact. What the collector `refill` left out is not recorded: such a run's history is of what
    is left.

    Raises:
        OneshotError: the run has no rollouts.
    """
    steps = ((step, run.rollouts(step)) for step in run.rollout_steps())
    history = _visits((step, (row for row in rows if not row.get("hint"))) for step, rows in steps)
    if not history:
        raise OneshotError(
            "this run has no rollouts to rank by",
            where=run.path,
            fix="Train a pool of problems first: `oneshot train grpo-full`.",
        )
    return history


def read_history(path: str | Path) -> History:
    """A history from what is at a path: a run folder of ours, verl's rollout dumps (a folder of `1.jsonl`, `2.jsonl`
    ...), or a JSON object of lists of accuracies by index, as the paper's released `acc_step_500.json`.

    Raises:
        OneshotError: nothing of these; the file and the problem at fault are named.
    """
    path = Path(path)
    if path.is_dir():
        dumps = [found for found in path.glob("*.jsonl") if re.fullmatch(r"[0-9]{1,9}", found.stem)]
        return _of_verl(sorted(dumps, key=lambda found: int(found.stem))) if dumps else accuracy_history(Run(path))
    fix = 'It should be {"index": [accuracy, ...], ...}, or a run folder.'
    values = read_json(path, fix)
    if not isinstance(values, dict) or not values:
        raise OneshotError("not an accuracy history", where=path, fix=fix)
    return {key: [Visit(accuracy) for accuracy in _checked(value, path, key)] for key, value in values.items()}


def _checked(values: Any, path: Path, key: str) -> list[float]:
    """The accuracies of one problem."""
    where = f"{path}, problem {key[:80]!r}"
    if not isinstance(values, list) or not values:
        raise OneshotError("not an accuracy history: no list of accuracies", where=where, fix="Give each a list.")
    for place, value in enumerate(values, 1):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise OneshotError(
                f"not an accuracy history: value {place} is {str(value)[:40]}", where=where, fix="Give shares, 0 to 1."
            )
    return [float(value) for value in values]


def _of_verl(paths: Sequence[Path]) -> History:
    """From verl's dumps (`trainer.rollout_data_dir`): a problem is its prompt, and what scores above 0 is correct."""

    def rows(path: Path) -> Iterable[Row]:
        for number, row in enumerate(read_jsonl(path), 1):
            score, prompt, output = (row.get(name) for name in ("score", "input", "output"))
            if not (isinstance(prompt, str) and isinstance(output, str) and isinstance(score, int | float)):
                raise OneshotError(
                    "not a rollout of verl's", where=f"{path}, row {number}", fix="It has input, output and score."
                )
            outcome = "correct" if score > 0 else "wrong"
            yield {"problem_id": prompt, "text": output, "extracted": last_boxed(output), "outcome": outcome}

    history = _visits((int(path.stem), rows(path)) for path in paths)
    if not history:
        raise OneshotError("the dumps hold no rollout", where=paths[0].parent, fix="Train with verl for a step.")
    return history


def _visits(steps: Iterable[tuple[int, Iterable[Row]]]) -> History:
    history: History = {}
    for step, rows in steps:
        found: dict[str, list[Row]] = {}
        for row in rows:
            found.setdefault(row["problem_id"], []).append(row)
        for problem, rollouts in found.items():
            history.setdefault(problem, []).append(visit_of(step, rollouts))
    return history


def visit_of(step: int, rollouts: Sequence[Row]) -> Visit:
    """What a problem's graded rollouts (`text`, `outcome`, `extracted`, and `tokens` where known) were like."""
    counts = answer_counts(row["extracted"] for row in rollouts)
    right = sum(row["outcome"] == "correct" for row in rollouts)
    tokens = [row["tokens"] for row in rollouts if "tokens" in row]
    return Visit(
        accuracy=right / len(rollouts),
        step=step,
        right=right,
        tries=len(rollouts),
        tokens=mean(tokens) if tokens else None,
        entropy=entropy_of(counts),
        distinct=len(counts),
        faithful=mean([ends_in_its_answer(row["text"], row["extracted"]) for row in rollouts]),
    )
