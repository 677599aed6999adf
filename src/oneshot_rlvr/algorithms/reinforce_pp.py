"""REINFORCE++: no group and no critic; the batch is the baseline, and KL is part of the reward."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from oneshot_rlvr.algorithms.experience import Experience
from oneshot_rlvr.algorithms.kl_control import KlControl
from oneshot_rlvr.algorithms.registries import ADVANTAGES
from oneshot_rlvr.algorithms.returns import discounted, token_rewards, whitened


def _needs(kl: float = 0.0, **others: object) -> Set[str]:
    """Without KL in the reward no other model's log-probabilities are wanted."""
    return {"zero_advantage", "old", "reference"} if kl else {"zero_advantage"}


@ADVANTAGES.register("reinforce_pp", needs=_needs, kl_control=KlControl.of)
def reinforce_pp(
    experience: Experience,
    kl: float = 0.0,
    estimator: str = "k1",
    gamma: float = 1.0,
    kl_target: float | None = None,
    kl_horizon: int = 10_000,
) -> Experience:
    """Returns to go of -kl KL_t + [last token] r, whitened over all tokens of the batch.

    R_t = sum_{s >= t} gamma^(s - t) (-kl KL_s + [s = T] r);  A_t = (R_t - mean) / sqrt(var + 1e-8), unbiased var.
    KL_t is estimated between the old policy and the reference; `kl_target` steers `kl` (`kl_control.py`). Where GRPO
    compares a prompt's rollouts with each other, this compares all tokens with all. An unscorable rollout leaves mean
    and var and gets 0.
    Source: REINFORCE++ (arXiv 2501.03262, section 3); whitening and KL as in verl's
    `compute_reinforce_plus_plus_outcome_advantage` and `apply_kl_penalty`.
    """
    returns = [discounted(rewards_T, gamma) for rewards_T in token_rewards(experience, kl, estimator)]
    return replace(experience, returns=returns, advantages=[a.nan_to_num(0.0) for a in whitened(returns)])
