"""Ranking problems by a score of their accuracy history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oneshot_rlvr.config import Registry
from oneshot_rlvr.selection.history import History


@dataclass(frozen=True)
class Ranked:
    """A problem and why it has its rank. `rank` counts from 1: pi_rank."""

    rank: int
    problem_id: str
    std: float
    mean: float
    visits: int


SELECTORS = Registry("problem selector", "--by")


@SELECTORS.register("variance")
def rank_by_variance(history: History) -> list[Ranked]:
    """Problems by historical variance, highest first: pi_1, pi_2, ...

    Score: the population standard deviation (ddof 0) of the problem's accuracies. Equal scores keep the history's
    order (a stable sort of the negated scores), on which the paper's labels of its zero-variance problems depend.
    Source: arXiv 2504.20571, section 2; the released `compute_std.py`.
    """
    ids = list(history)
    stds = np.array([np.std(history[i]) for i in ids])
    return [
        Ranked(rank, ids[place], float(stds[place]), float(np.mean(history[ids[place]])), len(history[ids[place]]))
        for rank, place in enumerate(np.argsort(-stds, kind="stable"), 1)
    ]
