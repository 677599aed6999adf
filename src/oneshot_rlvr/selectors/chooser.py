"""A listwise chooser: it picks one of k paths, is paid if the pick is right, and learns by policy gradient."""

from __future__ import annotations

import numpy as np

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.selectors.base import SELECTORS, Training
from oneshot_rlvr.selectors.linear import Linear, View, tables

LISTS, PICKS = 32, 8  # of a step: lists of k paths, picks from each


@SELECTORS.register("chooser", learns=True)
def chooser(
    training: Training,
    *,
    shots: int | None = None,
    k: int = 8,
    steps: int = 300,
    view: View = "features",
    agreement: bool = False,
    rate: float = 0.05,
    decay: float = 0.01,
) -> Linear:
    """Policy pi(i) = softmax_i(w . x_i) over lists of `k` paths of one problem; reward 1 if the pick is right. GRPO's
    advantage among 8 picks of a list, not divided by their deviation (Dr. GRPO); the gradient of log pi(i) is
    x_i - E_pi[x]. As AggLM (arXiv 2509.06870) with a linear policy in the place of a language model."""
    if k < 2 or steps < 1:
        raise OneshotError(
            "it picks one of at least 2 in at least 1 step", where="selector chooser", fix="Raise k or steps."
        )
    groups = training.chosen(shots)
    names, found, mean, scale = tables(groups, view, agreement)
    right = [group.right_N for group in groups]
    draw = np.random.default_rng([training.seed, 2])
    weights = np.zeros(found[0].shape[1])
    first, second = np.zeros_like(weights), np.zeros_like(weights)  # Adam's moments
    for step in range(1, steps + 1):
        gradient = -decay * weights
        for _ in range(LISTS):
            place = int(draw.integers(len(groups)))
            chosen = draw.choice(len(right[place]), min(k, len(right[place])), replace=False)
            x_KF, right_K = found[place][chosen], right[place][chosen]
            logits = x_KF @ weights
            policy = np.exp(logits - logits.max())
            policy /= policy.sum()
            picks = draw.choice(len(chosen), PICKS, p=policy)
            rewards = right_K[picks].astype(float)
            gradient += (rewards - rewards.mean()) @ (x_KF[picks] - policy @ x_KF) / (LISTS * PICKS)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        weights = weights + rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return Linear(names, mean, scale, weights)
