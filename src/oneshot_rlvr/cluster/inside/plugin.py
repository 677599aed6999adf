"""verl's entry point `verl.plugins`: our advantages and surrogates by the name `oneshot`, and a CPU to run on.

verl imports this while it imports itself, in every process.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from oneshot_rlvr.algorithms import ADVANTAGES, SURROGATES, Experience, LossInputs, Totals
from oneshot_rlvr.cluster.folder import ENVIRONMENT
from oneshot_rlvr.cluster.inside import run
from oneshot_rlvr.cluster.units import OURS


def oneshot_advantage(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, index: np.ndarray, config: Any = None, **_: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """The configured advantage of rewards by group [B, T]; its second value is not used without a critic."""
    unit = ADVANTAGES.unit(run.config().algorithm.advantage)
    advantages_BT = advantages_of(unit, token_level_rewards.sum(-1), response_mask, list(index))
    return advantages_BT, advantages_BT


def advantages_of(unit: Any, rewards_B: torch.Tensor, mask_BT: torch.Tensor, groups: list[str]) -> torch.Tensor:
    """A unit's advantages [B, T]. `groups` names each rollout's group; they may stand in any order."""
    known = {name: place for place, name in enumerate(dict.fromkeys(groups))}
    group_B = [known[name] for name in groups]
    order = sorted(range(len(groups)), key=lambda b: group_B[b])  # a group's rollouts side by side
    lengths = [int(mask_BT[b].sum()) for b in order]
    experience = Experience(
        prompts=((),),
        prompt_B=(0,) * len(order),
        group_B=tuple(group_B[b] for b in order),
        responses=tuple((0,) * length for length in lengths),
        rewards_B=rewards_B[order].double().cpu(),
    )
    found = unit(experience).advantages
    advantages_BT = torch.zeros_like(mask_BT, dtype=torch.float32)
    for b, row_T in zip(order, found, strict=True):
        advantages_BT[b, mask_BT[b].bool()] = row_T.to(advantages_BT)
    return advantages_BT


def oneshot_loss(
    old_log_prob: torch.Tensor,
    log_prob: torch.Tensor,
    advantages: torch.Tensor,
    response_mask: torch.Tensor,
    loss_agg_mode: str = "token-mean",
    config: Any = None,
    rollout_is_weights: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, dict[str, float]]:
    """The configured surrogate [B, T], brought to one number by verl's own aggregation."""
    from verl.trainer.ppo.core_algos import agg_loss

    section, mask_BT = run.config().algorithm, response_mask.bool()
    unit = SURROGATES.unit(section.surrogate, {"clip_low": section.clip_low, "clip_high": section.clip_high})
    tokens = int(mask_BT.sum())
    inputs = LossInputs(
        logprobs_BT=log_prob,
        entropy_BT=torch.full_like(log_prob, torch.nan),  # verl keeps it for its own term
        mask_BT=mask_BT,
        old_BT=old_log_prob,
        advantages_BT=advantages,
        totals=Totals(tokens, len(mask_BT)),
    )
    values_BT, sums = unit(inputs)
    loss = agg_loss(
        loss_mat=values_BT, loss_mask=response_mask, loss_agg_mode=loss_agg_mode, **config.global_batch_info
    )
    return loss, {f"actor/{name}": float(value) / max(tokens, 1) for name, value in sums.items()}


def register() -> None:
    """Make both known to verl."""
    from verl.trainer.ppo.core_algos import (
        ADV_ESTIMATOR_REGISTRY,
        POLICY_LOSS_REGISTRY,
        register_adv_est,
        register_policy_loss,
    )

    if OURS not in ADV_ESTIMATOR_REGISTRY:
        register_adv_est(OURS)(oneshot_advantage)
    if OURS not in POLICY_LOSS_REGISTRY:
        register_policy_loss(OURS)(oneshot_loss)


if ENVIRONMENT in os.environ:
    if os.environ.get("VERL_PLATFORM") == "cpu":
        from oneshot_rlvr.cluster.inside import cpu

        cpu.register()
    register()
