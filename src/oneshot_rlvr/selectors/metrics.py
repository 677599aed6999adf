"""How good scores are: as a classifier's, as probabilities, and as picks among n candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from oneshot_rlvr.grading.features import mean
from oneshot_rlvr.selectors.calibration import blocks
from oneshot_rlvr.selectors.paths import PathGroup
from oneshot_rlvr.selectors.votes import vote_shares

BINS = 10
SHUFFLES = 4  # random partitions into blocks of n candidates
Scored = Callable[[int, NDArray[np.int_]], NDArray[np.float64]]


@dataclass(frozen=True)
class Picks:
    """Per problem, means over blocks of n candidates: whether the pick is right, whether it was one of several answers
    that were scored alike, and how often it saved what a majority loses, or loses what a majority wins."""

    right: list[float]
    tied: list[float]
    rescued: list[float]
    broken: list[float]


def auroc(scores: Sequence[float], right: NDArray[np.bool_]) -> float | None:
    """The chance that a right path is scored above a wrong one, ties half; None where all are one kind."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, scores)) if 0 < right.sum() < len(right) else None


def auroc_within(groups: Sequence[PathGroup], scores: Sequence[Sequence[float]]) -> float | None:
    """The mean over problems that have both kinds of paths; None without any."""
    found = [auroc(s, group.right_N) for group, s in zip(groups, scores, strict=True) if group.mixed]
    return mean([value for value in found if value is not None]) if found else None


def auprc(scores: Sequence[float], right: NDArray[np.bool_]) -> float | None:
    """Average precision of the right ones; None without any."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(right, scores)) if right.any() else None


def balanced_accuracy(probabilities: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    """The mean of the shares of right and of wrong paths that one half separates; None where all are one kind."""
    if right.all() or not right.any():
        return None
    said = probabilities >= 0.5
    return float((said[right].mean() + (~said[~right]).mean()) / 2)


def reliability(probabilities: NDArray[np.float64], right: NDArray[np.bool_]) -> list[dict[str, float]]:
    """In ten bins of equal width: how many, their mean probability, the share that is right."""
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    return [
        {"n": int(inside.sum()), "said": float(probabilities[inside].mean()), "right": float(right[inside].mean())}
        for b in range(BINS)
        if (inside := places == b).any()
    ]


def expected_calibration_error(bins: Sequence[dict[str, float]]) -> float:
    """The mean over paths of |share right - mean probability| of their bin (arXiv 1706.04599, equation 3)."""
    total = sum(b["n"] for b in bins)
    return sum(b["n"] * abs(b["said"] - b["right"]) for b in bins) / max(total, 1)


def brier(probabilities: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The mean of (probability - right)^2."""
    return float(((probabilities - right) ** 2).mean())


def picks(groups: Sequence[PathGroup], n: int, seed: int, scored: Scored) -> Picks:
    """Best of n, over `SHUFFLES` partitions of each problem's paths into blocks of n.

    `scored(place, blocks_Bn)` gives the scores [B, n] of the paths of the group at a place, as they stand among each
    other in each block. Ties count with the mean of what they hold, which is what breaking them by lot gives.
    """
    found = Picks([], [], [], [])
    for place, group in enumerate(groups):
        blocks_Bn = partitions(len(group.paths), n, seed, group.problem.id)
        right_Bn, answers_Bn = group.right_N[blocks_Bn], group.classes_N[blocks_Bn]
        right_B, tied_B = bests(scored(place, blocks_Bn), right_Bn, answers_Bn)
        usual_B, _ = bests(vote_shares(answers_Bn, np.ones(blocks_Bn.shape)), right_Bn, answers_Bn)
        found.right.append(float(right_B.mean()))
        found.tied.append(float(tied_B.mean()))
        found.rescued.append(float((right_B * (1 - usual_B)).mean()))
        found.broken.append(float((usual_B * (1 - right_B)).mean()))
    return found


@lru_cache(maxsize=1 << 14)
def partitions(count: int, n: int, seed: int, name: str) -> NDArray[np.int_]:
    """The blocks [B, n] of a problem's paths; all of them are one block once."""
    return np.array(blocks(count, n, seed, name, SHUFFLES if n < count else 1), dtype=int)


def bests(
    scores_Bn: NDArray[np.float64], right_Bn: NDArray[np.bool_], answers_Bn: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(The share of right ones among each block's highest, whether these give more than one answer), both [B]."""
    first_Bn = scores_Bn >= scores_Bn.max(1, keepdims=True) - 1e-12
    share_B = (right_Bn & first_Bn).sum(1) / first_Bn.sum(1)
    large = np.iinfo(answers_Bn.dtype).max
    least_B, most_B = np.where(first_Bn, answers_Bn, large).min(1), np.where(first_Bn, answers_Bn, -large).max(1)
    return share_B, least_B != most_B


def pick(scores: Sequence[float], seed: int) -> int:
    """The place of the highest score, ties broken by the seed."""
    top = max(scores)
    first = [i for i, score in enumerate(scores) if score >= top - 1e-12]
    return first[int(np.random.default_rng([seed, len(scores)]).integers(len(first)))]


def gap_closed(picked: float, majority: float, oracle: float) -> float | None:
    """The share of the way from majority vote to the oracle; None where there is no way."""
    return (picked - majority) / (oracle - majority) if oracle - majority > 1e-9 else None
