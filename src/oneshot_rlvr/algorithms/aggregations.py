"""From a value at every token to one number: a sum, and what divides it.

Denominators are of the whole minibatch, so that splitting it into micro-batches changes nothing; the one exception says
so. `dr_grpo.py` has one more.
"""

from __future__ import annotations

import torch

from oneshot_rlvr.algorithms.experience import Aggregate, Totals
from oneshot_rlvr.algorithms.registries import AGGREGATIONS


@AGGREGATIONS.register("token_mean")
def token_mean(values_BT: torch.Tensor, mask_BT: torch.Tensor, totals: Totals) -> Aggregate:
    """sum over tokens / tokens of the minibatch: every token counts alike. Source: DAPO (arXiv 2503.14476, eq. 8)."""
    return torch.where(mask_BT, values_BT, 0.0).sum(), totals.tokens


@AGGREGATIONS.register("sequence_mean")
def sequence_mean(values_BT: torch.Tensor, mask_BT: torch.Tensor, totals: Totals) -> Aggregate:
    """mean over sequences of the mean over tokens: every response counts alike (GRPO, arXiv 2402.03300, equation 3)."""
    lengths_B = mask_BT.sum(1).clamp_min(1)
    return (torch.where(mask_BT, values_BT, 0.0).sum(1) / lengths_B).sum(), totals.sequences


@AGGREGATIONS.register("microbatch_mean", needs=("zero_advantage",))
def microbatch_mean(values_BT: torch.Tensor, mask_BT: torch.Tensor, totals: Totals) -> Aggregate:
    """token mean inside each micro-batch, weighed by its sequences: what the released 1-shot RLVR code does.

    The result depends on how a minibatch is split: `batch.microbatch_tokens` is then part of the method, and so are
    `speed.sort_by_length` (rows of like length make it `sequence_mean`), `speed.share_histories` and
    `speed.shared_prefix` (tokens are those of responses alone, and prompts are parted first; without it those of both,
    as there). Source: verl's `dp_actor.py` with dynamic batches, as of the released fork.
    """
    mean = torch.where(mask_BT, values_BT, 0.0).sum() / mask_BT.sum().clamp_min(1)
    return mean * len(mask_BT), totals.sequences
