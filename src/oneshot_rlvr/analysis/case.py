"""What a diagnosis looks at: a run's configuration, problems, metrics and rollouts, at its beginning and at its end."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from oneshot_rlvr.config import Config
from oneshot_rlvr.config.spec import parse
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.runs import Run

WINDOW = 5  # steps at either end
ENOUGH = 32  # rollouts that say how a run began
ROLLOUTS = 160  # that are looked at together at least
RIGHT = {"accuracy", "length_kimi", "cosine_length"}  # rewards of right answers
OTHERS = {"majority", "random", "same_answer", "score", "selector", "steps_credit", "verdict", "wrong_label"}
RELATIVE = ("grpo", "dr_grpo", "rloo", "max_rl")  # advantages that compare inside a group
WITHOUT = ("rent", "intuitor", "distillation", "self_distillation")  # advantages that no reward enters
OWN, OFTEN = "module:function", 0.1  # a reward of the user's own; the least share of either of two rewards
Row = dict[str, Any]


@dataclass
class Case:
    """A run under examination. Rollouts are read when a rule asks for them."""

    config: Config
    problems: Sequence[Problem]
    metrics: Sequence[Row]
    read: Callable[[int], list[Row]]
    diverged: Row | None = None  # the step whose loss or gradient was not finite
    _rows: dict[int, list[Row]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, run: Run) -> Case:
        """A run as its folder has it.

        Raises:
            OneshotError: the folder is damaged.
        """

        def read(step: int) -> list[Row]:
            return run.rollouts(step) if run.has_rollouts(step) else []

        diverged = run.diverged
        metrics = run.metrics() or ([{"step": diverged["step"]}] if diverged else [])  # its rollouts are there
        return cls(run.config, run.problems, metrics, read, diverged)

    @property
    def start(self) -> Sequence[Row]:
        """The metrics of the first step, or of the first few where steps are small: the base, as good as untouched.

        Empty where the beginning is not recorded any more.
        """
        if self.metrics[0]["step"] != 1:
            return []
        each = self.config.batch.groups_per_step * self.config.batch.group_size
        return self.metrics[: min(WINDOW, -(-ENOUGH // each))]

    @property
    def first(self) -> Sequence[Row]:
        """The metrics of the first steps."""
        return self.metrics[:WINDOW]

    @property
    def last(self) -> Sequence[Row]:
        """The metrics of the last steps."""
        return self.metrics[-WINDOW:]

    @property
    def ends(self) -> list[Row]:
        """The first and the last steps, each once."""
        return [*self.first, *self.metrics[max(WINDOW, len(self.metrics) - WINDOW) :]]

    @property
    def sampled(self) -> bool:
        """Whether its responses were sampled: in supervised runs there is nothing to compare."""
        return all(line.get("group/sampled", 1.0) > 0 for line in self.metrics)

    @property
    def began(self) -> int:
        """The last of the first steps."""
        return int(self.first[-1]["step"])

    @property
    def ended(self) -> int:
        """The last step."""
        return int(self.metrics[-1]["step"])

    def rows(self, lines: Sequence[Row]) -> list[Row]:
        """The rollouts of these steps, each with its step. Those of either end are kept in memory, no others."""
        ends = {int(line["step"]) for line in (*self.first, *self.last)}
        for step in [step for step in self._rows if step not in ends]:
            del self._rows[step]
        found: list[Row] = []
        for step in (int(line["step"]) for line in lines):
            rows = self._rows.get(step) or [row | {"step": step} for row in self.read(step)]
            if step in ends:
                self._rows[step] = rows
            found += rows
        return found

    def groups(self, lines: Sequence[Row]) -> list[list[Row]]:
        """These steps' rollouts by group."""
        groups: dict[tuple[int, int | str], list[Row]] = {}
        for row in self.rows(lines):
            groups.setdefault((row["step"], row.get("group", row["problem_id"])), []).append(row)
        return list(groups.values())


def width_of(case: Case) -> int:
    """Steps that are looked at together: five at least, with enough rollouts and every problem in them."""
    groups = case.config.batch.groups_per_step
    rollouts = groups * case.config.batch.group_size
    return max(WINDOW, -(-ROLLOUTS // rollouts), -(-len(case.problems) // groups))


def windows(case: Case, name: str) -> list[float]:
    """Means of a metric over each few steps in turn, the last ones whole; what is left over at first is left out."""
    lines, width = list(case.metrics), width_of(case)
    ends = range(len(lines), max(0, width - 1), -width)
    return [average(lines[end - width : end], name) for end in ends][::-1] or [average(lines, name)]


def broke(case: Case) -> dict[str, float] | None:
    """Figures of a run whose answers were right and are not any more."""
    right = windows(case, "outcome/correct")
    best, now = max(*right, average(case.start, "outcome/correct") if len(case.problems) == 1 else 0.0), right[-1]
    if best < 0.1 or now > best / 3:
        return None
    return {"outcome/correct at best": best, "outcome/correct at last": now}


def advantage_of(case: Case) -> str:
    """The advantage's name."""
    return case.config.algorithm.advantage.partition("(")[0]


def pays_others(case: Case) -> bool:
    """Whether training is meant to reach other answers than right ones: then that few are right is no fault.

    By what the rewards are for; a function of the user's own pays others if it tells wrong answers apart.
    """
    try:
        names = {term.name for term in parse(case.config.algorithm.reward, "algorithm.reward")}
    except OneshotError:  # a lambda or a method, given in Python, is known by a name that nobody could write
        names = {OWN}
    if any(":" in name for name in names) and not names & RIGHT:
        return any(_tells_apart(case.rows(case.ends), outcome) for outcome in ("wrong", "no_answer"))
    return advantage_of(case) in WITHOUT or bool(names & OTHERS and not names & RIGHT)


def _tells_apart(rows: Sequence[Row], outcome: str) -> bool:
    """Whether responses that the gold makes the same earn this or that, both often: another judge decides."""
    earned = [row["reward"] for row in rows if row["outcome"] == outcome and row["reward"] is not None]
    middle = (max(earned, default=0.0) + min(earned, default=0.0)) / 2
    return len(earned) >= ENOUGH and OFTEN <= statistics.fmean(reward > middle for reward in earned) <= 1 - OFTEN


def average(lines: Sequence[Row], name: str) -> float:
    """The mean of a metric over the steps that have it; 0 where none has."""
    values = [line[name] for line in lines if name in line]
    return statistics.fmean(values) if values else 0.0


def share(rows: Sequence[Row], holds: Callable[[Row], bool]) -> float:
    """The share of rollouts of which something holds; 0 of none."""
    return statistics.fmean(map(holds, rows)) if rows else 0.0
