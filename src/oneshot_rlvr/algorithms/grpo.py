"""GRPO's advantage."""

from __future__ import annotations

import torch

from oneshot_rlvr.algorithms.experience import Experience
from oneshot_rlvr.algorithms.groups import centred
from oneshot_rlvr.algorithms.registries import ADVANTAGES


@ADVANTAGES.register("grpo")
def grpo(experience: Experience, epsilon: float = 1e-6) -> Experience:
    """A = (r - mean) / (std + epsilon) over the group, unbiased std (ddof 1), the same for every token of a rollout.

    A group of one takes mean 0 and std 1; a group without variance gets exactly 0.
    Source: GRPO (arXiv 2402.03300, section 4.1.2); epsilon, ddof and the group of one as in verl's
    `compute_grpo_outcome_advantage`, which the 1-shot RLVR runs used.
    """
    centred_PG, _, count_P1 = centred(experience.rewards_PG, experience.sizes_P)
    variance_P1 = centred_PG.square().sum(1, keepdim=True) / (count_P1 - 1).clamp_min(1)
    std_P1 = torch.where(count_P1 > 1, variance_P1.sqrt(), torch.ones_like(variance_P1))
    return experience.by_group(torch.where(centred_PG == 0, 0.0, centred_PG / (std_P1 + epsilon)))
