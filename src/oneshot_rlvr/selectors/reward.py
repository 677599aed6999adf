"""A trained selector as a reward: what it believes of a response, where no gold is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from oneshot_rlvr.grading import Response
from oneshot_rlvr.grading.rewards import REWARDS, Rewards
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.problems import Problem, get_template
from oneshot_rlvr.selectors.measure import Reader
from oneshot_rlvr.selectors.paths import PathGroup, ReasoningPath
from oneshot_rlvr.selectors.saved import FILE, Saved, read_selector


@dataclass(frozen=True)
class Judge:
    """A saved selector and, where it needs one, its reader."""

    saved: Saved
    reader: Reader | None

    @staticmethod
    def of(saved: Saved) -> Judge:
        """The reader is loaded if the selector reads paths through it."""
        if saved.reader is None or not saved.selector.reads:
            return Judge(saved, None)
        return Judge(saved, Reader(load_policy(saved.reader), get_template(saved.template)))

    @staticmethod
    def of_folder(folder: str | Path) -> Judge:
        """The judge kept in a folder.

        Raises:
            OneshotError: there is none, or it is damaged.
        """
        return Judge.of(read_selector(folder))

    def read(self, group: PathGroup) -> PathGroup:
        """The group, its paths read by the selector's own reader, whoever has read them before."""
        return group if self.reader is None else self.reader.measured(group)

    def scores(self, problem: Problem, paths: Sequence[ReasoningPath]) -> list[float]:
        """Of each path among the others."""
        return self.saved.selector.scores(problem, self.read(PathGroup(problem, paths)).paths)

    def probabilities(self, problem: Problem, paths: Sequence[ReasoningPath]) -> list[float]:
        """Of being right, of each path among the others."""
        return [self.saved.calibration.probability(score) for score in self.scores(problem, paths)]


@lru_cache(maxsize=4)
def _judge(folder: str, changed: int) -> Judge:
    return Judge.of_folder(folder)


@REWARDS.register("selector", loads=True)
def selector(problem: Problem, responses: Sequence[Response], *, folder: str = "", yes: bool = False) -> Rewards:
    """The probability of being right that a trained path selector gives; no gold is used. `folder` is the selector's
    (`oneshot selector train`); `yes`: 1 where it is above one half, else 0."""
    file = Path(folder) / FILE
    changed = file.stat().st_mtime_ns if file.exists() else 0
    found = _judge(folder, changed).probabilities(problem, [ReasoningPath.of(response) for response in responses])
    return [float(p > 0.5) if yes else p for p in found]
