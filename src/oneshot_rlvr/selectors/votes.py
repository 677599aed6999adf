"""Selectors by vote: an answer counts as often as it is given, or as much as another selector believes its paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oneshot_rlvr.problems import Problem
from oneshot_rlvr.selectors.base import SELECTORS, Selector, Training
from oneshot_rlvr.selectors.calibration import Calibration
from oneshot_rlvr.selectors.paths import PathGroup, ReasoningPath
from oneshot_rlvr.selectors.teaching import taught


def voted(group: PathGroup, weights: Sequence[float]) -> list[float]:
    """Each path's share of the weight that its answer has; 0 without an answer."""
    return vote_shares(group.classes_N[None], np.array([weights], dtype=float))[0].tolist()


def vote_shares(answers_Bn: NDArray[np.int_], weights_Bn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same in each of some blocks, [B, n]; answers are numbers, no answer is -1."""
    given_Bn = answers_Bn >= 0
    same_Bnn = (answers_Bn[:, :, None] == answers_Bn[:, None, :]) & given_Bn[:, None, :] & given_Bn[:, :, None]
    totals_Bn = (same_Bnn * weights_Bn[:, None, :]).sum(2)
    everything_B1 = (weights_Bn * given_Bn).sum(1, keepdims=True)
    return np.divide(totals_Bn, everything_B1, out=np.zeros_like(totals_Bn), where=everything_B1 > 0)


@dataclass(frozen=True)
class Majority:
    """The share of the votes that a path's answer has."""

    pathwise: bool = False
    reads: bool = False

    def scores(self, problem: Problem, paths: Sequence[ReasoningPath]) -> list[float]:
        """See `Selector`."""
        return voted(PathGroup(problem, paths), [1.0] * len(paths))


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
        return voted(PathGroup(problem, paths), weights)


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
