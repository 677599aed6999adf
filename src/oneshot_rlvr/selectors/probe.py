"""Logistic probes: right or wrong from a path's features, or from its hidden state."""

from __future__ import annotations

import numpy as np

from oneshot_rlvr.selectors.base import SELECTORS, Training
from oneshot_rlvr.selectors.linear import Linear, View, tables


@SELECTORS.register("probe", learns=True)
def probe(training: Training, *, shots: int | None = None, agreement: bool = False, strength: float = 1.0) -> Linear:
    """Logistic regression on a path's features; `agreement` adds how it stands among the others. `shots`: of so many
    problems' paths alone. `strength` is the inverse of L2's."""
    return _fitted(training, shots, "features", agreement, strength)


@SELECTORS.register("hidden", learns=True)
def hidden(training: Training, *, shots: int | None = None, strength: float = 0.01) -> Linear:
    """Logistic regression on the last hidden state of a path's last token (as in arXiv 2504.05419)."""
    return _fitted(training, shots, "hidden", False, strength)


def _fitted(training: Training, shots: int | None, view: View, agreement: bool, strength: float) -> Linear:
    """Each problem weighs the same, and within it its right paths as much as its wrong ones."""
    from sklearn.linear_model import LogisticRegression

    groups = training.chosen(shots)
    names, found, mean, scale = tables(groups, view, agreement)
    right = [group.right_N for group in groups]
    weights = [np.where(r, 0.5 / r.sum(), 0.5 / (~r).sum()) * len(r) for r in right]
    model = LogisticRegression(C=strength, max_iter=2000)
    model.fit(np.concatenate(found), np.concatenate(right), np.concatenate(weights))
    return Linear(names, mean, scale, model.coef_[0], float(model.intercept_[0]))
