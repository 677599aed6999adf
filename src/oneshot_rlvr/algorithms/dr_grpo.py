"""Dr. GRPO: the advantage without the std, and a constant length to divide by."""

from __future__ import annotations

import torch

from oneshot_rlvr.algorithms.experience import Aggregate, Experience, Totals
from oneshot_rlvr.algorithms.groups import centred
from oneshot_rlvr.algorithms.registries import ADVANTAGES, AGGREGATIONS


@ADVANTAGES.register("dr_grpo")
def dr_grpo(experience: Experience) -> Experience:
    """A = r - mean: GRPO without the division by the group's std, which favours easy and hard problems.

    A group of one takes mean 0. Source: Dr. GRPO (arXiv 2503.20783, equation 3).
    """
    return experience.by_group(centred(experience.rewards_PG, experience.sizes_P)[0])


@AGGREGATIONS.register("constant_length")
def constant_length(values_BT: torch.Tensor, mask_BT: torch.Tensor, totals: Totals, length: int = 3072) -> Aggregate:
    """sum over tokens / (sequences x `length`): every token counts alike, however long its response is.

    `length` is the run's `sampling.max_new_tokens` unless given. GRPO's token mean divides by the tokens that there
    happen to be, so that a step of long responses learns less from each. Source: arXiv 2503.20783, section 3.1; verl's
    `seq-mean-token-sum-norm`.
    """
    return torch.where(mask_BT, values_BT, 0.0).sum(), totals.sequences * length
