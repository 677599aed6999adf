"""From scores to probabilities: Platt's logistic fit on the paths that a selector was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oneshot_rlvr.selectors.base import Selector
from oneshot_rlvr.selectors.paths import PathGroup

HEADLINE = 8  # candidates: the n at which selectors that look at the group are calibrated and compared
FARTHEST = 30.0  # of a logit: beyond it a probability is 0 or 1 to the last digit that is written


@dataclass(frozen=True)
class Calibration:
    """probability = 1 / (1 + exp(-(slope * score + intercept)))."""

    slope: float = 1.0
    intercept: float = 0.0

    def probability(self, score: float) -> float:
        """Of being right, given a score."""
        return 1 / (1 + math.exp(-min(max(self.slope * score + self.intercept, -FARTHEST), FARTHEST)))


def blocks(count: int, size: int, seed: int, name: str, shuffles: int = 1) -> list[list[int]]:
    """`shuffles` random partitions of `count` paths into blocks of `size`; what is left over falls to none.

    Keyed by seed and problem: every selector is shown the same blocks.
    """
    found: list[list[int]] = []
    for shuffle in range(shuffles):
        key = [seed, shuffle, *name.encode("utf-8", "surrogatepass")]
        order = np.random.default_rng(key).permutation(count).tolist()
        found += [order[start : start + size] for start in range(0, count - size + 1, size)]
    return found


def block_scores(selector: Selector, group: PathGroup, size: int, seed: int) -> list[float]:
    """Each path's score, among `size` where the selector looks at the group; paths left over stand with the first."""
    if selector.pathwise or len(group.paths) <= size:
        return selector.scores(group.problem, group.paths)
    scores = [math.nan] * len(group.paths)
    parts = blocks(len(group.paths), size, seed, group.problem.id)
    left = sorted(set(range(len(group.paths))) - {place for part in parts for place in part})
    for part in [*parts, [*left, *parts[0]][:size]] if left else parts:
        for place, score in zip(part, selector.scores(group.problem, group.of(part).paths), strict=True):
            if math.isnan(scores[place]):
                scores[place] = score
    return scores


def calibration_of(scored: Sequence[tuple[PathGroup, Sequence[float]]]) -> Calibration:
    """Fit on scored paths; where all scores, or all verdicts, are alike, or high scores are the wrong ones', the share
    of right ones. A slope is never negative: what is believed most is what is picked.

    Without any path the scores are taken for logits.
    """
    if not scored:
        return Calibration()
    from sklearn.linear_model import LogisticRegression

    scores = np.array([score for _, own in scored for score in own])
    right = np.concatenate([group.right_N for group, _ in scored])
    share = (right.sum() + 1) / (len(right) + 2)
    prior = Calibration(0.0, math.log(share / (1 - share)))
    if len(set(right.tolist())) < 2 or float(scores.std()) < 1e-12:
        return prior
    middle, scale = float(scores.mean()), float(scores.std())
    fitted = LogisticRegression(C=100.0).fit(((scores - middle) / scale)[:, None], right)
    slope = float(fitted.coef_[0, 0]) / scale
    return Calibration(slope, float(fitted.intercept_[0]) - slope * middle) if slope > 0 else prior
