"""What advantages of single tokens share: rewards with KL in them, sums to go, whitening."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from oneshot_rlvr.algorithms.experience import Experience
from oneshot_rlvr.algorithms.registries import KL_ESTIMATORS


def token_rewards(experience: Experience, kl: float = 0.0, estimator: str = "k1") -> list[torch.Tensor]:
    """r_t = -kl KL_t + [last token] r of each rollout, float64; NaN where it is unscorable.

    KL_t is estimated between the old policy and the reference; a steered coefficient stands in for `kl`. Source: verl's
    `apply_kl_penalty`.
    """
    if kl and experience.kl_coefficient is not None:
        kl = experience.kl_coefficient
    estimate = KL_ESTIMATORS.unit(estimator)
    found = []
    for b, length in enumerate(experience.lengths_B):
        rewards_T = torch.zeros(length, dtype=torch.float64)
        if kl:
            assert experience.old is not None
            assert experience.reference is not None
            old_T, reference_T = (rows[b].double().cpu() for rows in (experience.old, experience.reference))
            rewards_T -= kl * estimate(old_T, reference_T)
        rewards_T[-1] += experience.rewards_B[b]
        found.append(rewards_T)
    return found


def discounted(rewards_T: torch.Tensor, gamma: float) -> torch.Tensor:
    """R_t = r_t + gamma R_{t+1}."""
    if gamma == 1.0:
        return rewards_T.flip(0).cumsum(0).flip(0)
    returns, later = [], 0.0
    for value in reversed(rewards_T.tolist()):
        later = value + gamma * later
        returns.append(later)
    return torch.tensor(returns[::-1], dtype=rewards_T.dtype)


def whitened(rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """(x - mean) / sqrt(var + 1e-8) over all tokens that are not NaN, unbiased var. Source: verl's `masked_whiten`."""
    scored = torch.cat(list(rows))
    scored = scored[~scored.isnan()]
    mean = scored.mean() if len(scored) else 0.0
    scale = (scored.var() + 1e-8).sqrt() if len(scored) > 1 else 1.0
    return [(row - mean) / scale for row in rows]
