"""REINFORCE++: no group and no critic; the batch is the baseline, and KL is part of the reward."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import torch

from oneshot_rlvr.algorithms.experience import Experience
from oneshot_rlvr.algorithms.registries import ADVANTAGES, KL_ESTIMATORS


def _needs(kl: float = 0.0, **others: object) -> Set[str]:
    """Without KL in the reward no other model's log-probabilities are wanted."""
    return {"zero_advantage", "old", "reference"} if kl else {"zero_advantage"}


@ADVANTAGES.register("reinforce_pp", needs=_needs)
def reinforce_pp(experience: Experience, kl: float = 0.0, estimator: str = "k1", gamma: float = 1.0) -> Experience:
    """Returns to go of -kl KL_t + [last token] r, whitened over all tokens of the batch.

    R_t = sum_{s >= t} gamma^(s - t) (-kl KL_s + [s = T] r);  A_t = (R_t - mean) / sqrt(var + 1e-8), unbiased var.
    KL_t is estimated between the old policy and the reference. Where GRPO compares a prompt's rollouts with each other,
    this compares all tokens with all. An unscorable rollout leaves mean and var and gets 0.
    Source: REINFORCE++ (arXiv 2501.03262, section 3); whitening and KL as in verl's
    `compute_reinforce_plus_plus_outcome_advantage` and `apply_kl_penalty`.
    """

    estimate = KL_ESTIMATORS.unit(estimator)

    def returns_of(b: int) -> torch.Tensor:
        rewards_T = torch.zeros(experience.lengths_B[b], dtype=torch.float64)
        if kl:
            assert experience.old is not None
            assert experience.reference is not None
            old_T, reference_T = (rows[b].double().cpu() for rows in (experience.old, experience.reference))
            rewards_T -= kl * estimate(old_T, reference_T)
        rewards_T[-1] += experience.rewards_B[b]
        return to_go(rewards_T, gamma)

    returns = [returns_of(b) for b in range(len(experience))]
    scored = torch.cat(returns)
    scored = scored[~scored.isnan()]
    mean = scored.mean() if len(scored) else 0.0
    scale = (scored.var() + 1e-8).sqrt() if len(scored) > 1 else 1.0
    return replace(experience, returns=returns, advantages=[((r - mean) / scale).nan_to_num(0.0) for r in returns])


def to_go(rewards_T: torch.Tensor, gamma: float) -> torch.Tensor:
    """R_t = r_t + gamma R_{t+1}."""
    if gamma == 1.0:
        return rewards_T.flip(0).cumsum(0).flip(0)
    returns, later = [], 0.0
    for value in reversed(rewards_T.tolist()):
        later = value + gamma * later
        returns.append(later)
    return torch.tensor(returns[::-1], dtype=rewards_T.dtype)
