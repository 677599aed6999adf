"""Advantages of groups of rollouts. A reward of NaN is unscorable: it leaves the baseline and its advantage is 0."""

from __future__ import annotations

from collections.abc import Callable

import torch


def without_variance(rewards_PG: torch.Tensor) -> torch.Tensor:
    """Which groups have two scored rewards or more and all of them equal [P]: they give no policy gradient."""
    scored_PG = ~rewards_PG.isnan()
    highest_P = torch.where(scored_PG, rewards_PG, -torch.inf).amax(1)
    lowest_P = torch.where(scored_PG, rewards_PG, torch.inf).amin(1)
    return (scored_PG.sum(1) != 1) & (highest_P <= lowest_P)


def _centred(rewards_PG: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(r - mean, count [P, 1]) over the scored rewards; exactly 0 without variance; a group of one has mean 0."""
    scored_PG = ~rewards_PG.isnan()
    filled_PG = rewards_PG.nan_to_num(0.0)
    count_P1 = scored_PG.sum(1, keepdim=True)
    mean_P1 = filled_PG.sum(1, keepdim=True) / count_P1.clamp_min(1)
    mean_P1 = torch.where(count_P1 > 1, mean_P1, torch.zeros_like(mean_P1))
    counts_PG = scored_PG & ~without_variance(rewards_PG)[:, None]
    return torch.where(counts_PG, filled_PG - mean_P1, 0.0), count_P1


def grpo_advantages(rewards_PG: torch.Tensor, epsilon: float = 1e-6) -> torch.Tensor:
    """Group-relative advantages, the same for every token of a rollout.

    A = (r - mean(r)) / (std(r) + epsilon), unbiased std (ddof 1) over the group. A group of one takes mean 0 and std 1.
    Source: GRPO (arXiv 2402.03300, section 4.1.2); epsilon, ddof and the group of one as in verl's
    `compute_grpo_outcome_advantage`, which the 1-shot RLVR runs used. A group without variance gets exactly 0.
    """
    centred_PG, count_P1 = _centred(rewards_PG)
    variance_P1 = centred_PG.square().sum(1, keepdim=True) / (count_P1 - 1).clamp_min(1)
    std_P1 = torch.where(count_P1 > 1, variance_P1.sqrt(), torch.ones_like(variance_P1))
    return centred_PG / (std_P1 + epsilon)


def dr_grpo_advantages(rewards_PG: torch.Tensor) -> torch.Tensor:
    """A = r - mean(r): GRPO without the division by the group's std, which favours easy and hard problems.

    Source: Dr. GRPO (arXiv 2503.20783, equation 3). A group of one takes mean 0.
    """
    return _centred(rewards_PG)[0]


ADVANTAGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "grpo": grpo_advantages,
    "dr_grpo": dr_grpo_advantages,
}
