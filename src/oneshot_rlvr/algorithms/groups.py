"""What group-relative advantages share. A reward of NaN is unscorable: it leaves the baseline, its advantage is 0."""

from __future__ import annotations

import torch


def without_variance(rewards_PG: torch.Tensor, sizes_P: torch.Tensor | None = None) -> torch.Tensor:
    """Which groups give no policy gradient [P]: those whose scored rewards are all equal, or one at the most.

    `sizes_P` are the groups' sizes where the table is padded; a group of one rollout is compared with nothing, and has
    a gradient.
    """
    scored_PG = ~rewards_PG.isnan()
    highest_P = torch.where(scored_PG, rewards_PG, -torch.inf).amax(1)
    lowest_P = torch.where(scored_PG, rewards_PG, torch.inf).amin(1)
    return (highest_P <= lowest_P) & ~alone(rewards_PG, sizes_P)


def alone(rewards_PG: torch.Tensor, sizes_P: torch.Tensor | None = None) -> torch.Tensor:
    """Which groups are one scored rollout by itself [P]: it takes mean 0 and std 1."""
    sizes_P = torch.full((len(rewards_PG),), rewards_PG.shape[1]) if sizes_P is None else sizes_P
    return (sizes_P == 1) & ~rewards_PG[:, 0].isnan()


def centred(
    rewards_PG: torch.Tensor, sizes_P: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(r - mean [P, G], mean [P, 1], count [P, 1]) over the scored rewards; exactly 0 without variance."""
    scored_PG = ~rewards_PG.isnan()
    filled_PG = rewards_PG.nan_to_num(0.0)
    count_P1 = scored_PG.sum(1, keepdim=True)
    mean_P1 = filled_PG.sum(1, keepdim=True) / count_P1.clamp_min(1)
    mean_P1 = torch.where(alone(rewards_PG, sizes_P)[:, None], 0.0, mean_P1)
    counts_PG = scored_PG & ~without_variance(rewards_PG, sizes_P)[:, None]
    return torch.where(counts_PG, filled_PG - mean_P1, 0.0), mean_P1, count_P1
