"""Bradley and Terry: the chance that a right path is preferred to a wrong one of the same problem."""

from __future__ import annotations

import numpy as np

from oneshot_rlvr.selectors.base import SELECTORS, Training
from oneshot_rlvr.selectors.linear import Linear, View, tables

PAIRS = 512  # of one problem


@SELECTORS.register("pairwise", learns=True)
def pairwise(
    training: Training,
    *,
    shots: int | None = None,
    view: View = "features",
    agreement: bool = False,
    strength: float = 1.0,
) -> Linear:
    """P(a over b) = sigmoid(w . (x_a - x_b)) over pairs of a right and a wrong path of one problem (Bradley & Terry
    1952): unlike `probe` it learns nothing from how problems differ. `view`: features or hidden."""
    from sklearn.linear_model import LogisticRegression

    groups = training.chosen(shots)
    names, found, mean, scale = tables(groups, view, agreement)
    draw = np.random.default_rng([training.seed, 1])
    differences = []
    for group, x_NF in zip(groups, found, strict=True):
        good, bad = np.flatnonzero(group.right_N), np.flatnonzero(~group.right_N)
        count = min(PAIRS, len(good) * len(bad))
        pairs = draw.choice(len(good) * len(bad), count, replace=False)
        differences.append(x_NF[good[pairs // len(bad)]] - x_NF[bad[pairs % len(bad)]])
    apart = np.concatenate(differences)
    # A pair and its mirror, so that no intercept is needed; problems with more pairs weigh no more.
    weights = np.concatenate([np.full(len(d), 64 / len(d)) for d in differences])
    model = LogisticRegression(C=strength, fit_intercept=False, max_iter=2000)
    both, sides = np.concatenate([apart, -apart]), np.repeat([True, False], len(apart))
    model.fit(both, sides, np.concatenate([weights, weights]))
    return Linear(names, mean, scale, model.coef_[0])
