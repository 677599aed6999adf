"""PPO's critic: generalised advantage estimation, and the loss of the values."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import torch

from oneshot_rlvr.algorithms.experience import Experience
from oneshot_rlvr.algorithms.kl_control import KlControl
from oneshot_rlvr.algorithms.registries import ADVANTAGES
from oneshot_rlvr.algorithms.returns import discounted, token_rewards, whitened


def _needs(kl: float = 0.0, **others: object) -> Set[str]:
    """Without KL in the reward no other model's log-probabilities are wanted."""
    return {"zero_advantage", "values"} | ({"old", "reference"} if kl else set())


@ADVANTAGES.register("gae", needs=_needs, kl_control=KlControl.of)
def gae(
    experience: Experience,
    gamma: float = 1.0,
    lam: float = 1.0,
    whiten: bool = True,
    kl: float = 0.0,
    estimator: str = "k1",
    kl_target: float | None = None,
    kl_horizon: int = 10_000,
) -> Experience:
    """A_t = delta_t + gamma lam A_{t+1} with delta_t = r_t + gamma V_{t+1} - V_t; the critic's target is A_t + V_t.

    r_t = -kl KL_t + [last token] r; with `kl_target`, `kl` is steered (`kl_control.py`). V_t is the critic's value
    before token t, 0 after the last. `whiten` makes the batch's advantages mean 0 and std 1, over tokens. Where GRPO's
    baseline is the mean of a group, a learnt value is it here, token by token. An unscorable rollout gets advantage 0
    and a target of NaN, which the critic leaves out.
    Source: GAE (arXiv 1506.02438, equation 16); PPO (arXiv 1707.06347); whitening as in verl's
    `compute_gae_advantage_return`. With a critic that says 0 and lam 1 this is `reinforce_pp`.
    """
    assert experience.values is not None
    advantages, targets = [], []
    for rewards_T, found in zip(token_rewards(experience, kl, estimator), experience.values, strict=True):
        values_T = found.double().cpu()
        later_T = torch.cat([values_T[1:], values_T.new_zeros(1)])
        advantages_T = discounted(rewards_T + gamma * later_T - values_T, gamma * lam)
        advantages.append(advantages_T)
        targets.append(advantages_T + values_T)
    if whiten:
        advantages = whitened(advantages)
    return replace(experience, returns=targets, advantages=[a.nan_to_num(0.0) for a in advantages])


def value_loss(
    values: torch.Tensor, before: torch.Tensor, returns: torch.Tensor, clip: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(max((V - R)^2, (clip(V, V_old - c, V_old + c) - R)^2) / 2, where the clipped one is taken), token by token.

    Source: as verl's `compute_value_loss`; PPO's reference implementation clips so.
    """
    plain = (values - returns).square()
    clipped = (values.clamp(before - clip, before + clip) - returns).square()
    return 0.5 * torch.maximum(plain, clipped), clipped > plain


def explained_variance(values_N: torch.Tensor, returns_N: torch.Tensor) -> float:
    """1 - var(R - V) / var(R): 1 of a perfect critic, 0 of a constant, below 0 of one that misleads.

    Where all returns are equal it is 0: there is nothing to explain.
    """
    if len(returns_N) < 2 or not (spread := float(returns_N.var())):
        return 0.0
    return 1.0 - float((returns_N - values_N).var()) / spread
