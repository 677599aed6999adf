"""A graded group: rollouts of one prompt whose rewards are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oneshot_rlvr.grading import Grade
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.rollout import Rollout


@dataclass(frozen=True)
class Group:
    """Rollouts of a problem and their grades. `hint` is the share of the solution that the prompt gave away.

    Each rollout carries the prompt that produced it, the hint in it, and is scored against that. `informed_ids` is the
    prompt with the solution shown, for a teacher that knows it. A `silent` group has no rewards to train on.
    """

    problem: Problem
    rollouts: Sequence[Rollout]
    grades: Sequence[Grade]
    hint: float = 0.0
    informed_ids: tuple[int, ...] | None = None
    silent: bool = False

    @property
    def rewards(self) -> list[float | None]:
        """What each rollout is trained on; None if it is unscorable or the group silent."""
        return [None if self.silent else grade.reward for grade in self.grades]

    @property
    def varied(self) -> bool:
        """Whether the scored rewards differ: without that there is nothing to compare."""
        return len({reward for reward in self.rewards if reward is not None}) > 1

    @property
    def correct(self) -> int:
        """How many rollouts are correct."""
        return sum(grade.outcome == "correct" for grade in self.grades)
