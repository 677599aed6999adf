"""Selectors by vote: an answer counts as often as it is given, or as much as another selector believes its paths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from oneshot_rlvr.problems import Problem
from oneshot_rlvr.selectors.base import SELECTORS, Selector, Training
from oneshot_rlvr.selectors.calibration import Calibration
from oneshot_rlvr.selectors.paths import PathGroup, ReasoningPath
from oneshot_rlvr.selectors.teaching import taught


def voted(answers: Sequence[Hashable | None], weights: Sequence[float]) -> list[float]:
    """Each path's share of the weight that its answer has; 0 without an answer."""
    total: dict[Hashable, float] = defaultdict(float)
    for answer, weight in zip(answers, weights, strict=True):
        if answer is not None:
            total[answer] += weight
    everything = sum(total.values())
    return [0.0 if answer is None or not everything else total[answer] / everything for answer in answers]


@dataclass(frozen=True)
class Majority:
    """The share of the votes that a path's answer has."""

    pathwise: bool = False
    reads: bool = False

    def scores(self, problem: Problem, paths: Sequence[ReasoningPath]) -> list[float]:
        """See `Selector`."""
        return voted(PathGroup(problem, paths).answers, [1.0] * len(paths))


@dataclass(frozen=True)
class WeightedVote:
    """The share of the weight, each path's being the probability that another selector gives it."""

    by: Selector
    calibration: Calibration
    pathwise: bool = False

    @property
    def reads(self) -> bool:
        """See `Selector`."""
        return self.by.reads

    def scores(self, problem: Problem, paths: Sequence[ReasoningPath]) -> list[float]:
        """See `Selector`."""
        weights = [self.calibration.probability(score) for score in self.by.scores(problem, paths)]
        return voted(PathGroup(problem, paths).answers, weights)


@SELECTORS.register("majority")
def majority(training: Training) -> Majority:
    """The share of the group that gives the same answer (self-consistency, arXiv 2203.11171); no answer has none."""
    return Majority()


@SELECTORS.register(
    "vote",
    inner=lambda by="logprob": by,
    learns=lambda by="logprob": SELECTORS.unit(by).trait("learns"),
    trains=lambda by="logprob": SELECTORS.unit(by).trait("trains"),
)
def vote(training: Training, *, by: str = "logprob") -> WeightedVote:
    """Answers weighted by the probability of being right that the selector `by` gives their paths (2206.02336)."""
    return WeightedVote(*taught(by, training))
