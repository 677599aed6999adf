"""Candidates in a selector's order, and how far two selectors agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from oneshot_rlvr.selection.candidates import Candidates
from oneshot_rlvr.selection.selectors import SELECTORS, average, order, variance


@dataclass(frozen=True)
class Ranked:
    """A problem and its place: `rank` counts from 1 (pi_rank), `index` is its place in the pool, from 0.

    `score` is the selector's. Of its history: visits `n`, their mean accuracy, their exact variance as a fraction.
    """

    rank: int
    index: int
    id: str
    score: float | None
    n: int | None = None
    mean: float | None = None
    variance: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A row of `oneshot select --json`."""
        return asdict(self)


def rank(candidates: Candidates, by: str = "std") -> list[Ranked]:
    """All candidates in the order of a selector, in the grammar of units: pi_1, pi_2, ...

    Raises:
        OneshotError: no such selector, or the candidates lack what it reads.
    """
    scores = SELECTORS.unit(by)(candidates)
    curves = None if candidates.visits is None else candidates.curves()
    rows = []
    for place, here in enumerate(order(scores), 1):
        known: dict[str, Any] = {}
        if curves is not None:
            curve = curves[here]
            known = {"n": len(curve), "mean": float(average(curve)), "variance": str(variance(curve))}
        rows.append(Ranked(place, candidates.indices[here], candidates.ids[here], scores[here], **known))
    return rows


def ties(ranking: Sequence[Ranked]) -> list[tuple[int, int]]:
    """First and last rank of each stretch of equal scores: within it the order is the history's own."""
    found, first = [], 0
    for place in range(1, len(ranking) + 1):
        if place == len(ranking) or ranking[place].score != ranking[first].score:
            if place - first > 1:
                found.append((first + 1, place))
            first = place
    return found


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rank correlation of two lists, equal values sharing their mean rank; None where one is constant."""
    found = float(spearmans(np.asarray(a, float)[None], np.asarray(b, float)[None])[0])
    return None if math.isnan(found) else found


def spearmans(a_RP: np.ndarray, b_RP: np.ndarray) -> np.ndarray:
    """`spearman` of each row of one table with the same row of another, [R]; NaN where one is constant."""
    ranks = (rankdata(values_RP, axis=1) for values_RP in (a_RP, b_RP))
    a_RP, b_RP = (ranks_RP - ranks_RP.mean(axis=1, keepdims=True) for ranks_RP in ranks)
    lengths_R = np.sqrt((a_RP**2).sum(axis=1) * (b_RP**2).sum(axis=1))
    return np.divide((a_RP * b_RP).sum(axis=1), lengths_R, out=np.full(len(a_RP), np.nan), where=lengths_R > 0)


def scores_of(ranking: Sequence[Ranked]) -> dict[int, float]:
    """Scores by index; what has none has less than all others."""
    lowest = min((row.score for row in ranking if row.score is not None), default=0.0) - 1
    return {row.index: lowest if row.score is None else row.score for row in ranking}


def agreement(a: Sequence[Ranked], b: Sequence[Ranked], top: int) -> tuple[float | None, list[str]]:
    """How two rankings of the same problems agree: Spearman's correlation of their scores, and what both choose."""
    ours, theirs = scores_of(a), scores_of(b)
    shared = {row.index for row in b[:top]}
    correlation = spearman(list(ours.values()), [theirs[index] for index in ours])
    return correlation, [row.id for row in a[:top] if row.index in shared]
