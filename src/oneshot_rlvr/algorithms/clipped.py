"""The clipped surrogate of PPO, which GRPO took over."""

from __future__ import annotations

import torch

from oneshot_rlvr.algorithms.experience import LossInputs, Surrogate
from oneshot_rlvr.algorithms.registries import SURROGATES


@SURROGATES.register("clipped")
def clipped(inputs: LossInputs, clip_low: float = 0.2, clip_high: float = 0.2, dual: float | None = None) -> Surrogate:
    """max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) with r = exp(logprob - old logprob), token by token.

    With `dual` it is at most -A dual where A < 0: a bad token that became likely takes no unbounded step (dual-clip
    PPO, arXiv 1912.09729; verl's `clip_ratio_c` of 3, which the released 1-shot RLVR code does not have).

    With one update a batch r is exactly 1, and the gradient that of REINFORCE. Source: PPO (arXiv 1707.06347, equation
    7); two-sided clip as in DAPO (arXiv 2503.14476, equation 8). The clip is `algorithm.clip_low` and `clip_high`.
    """
    ratio_BT = (inputs.logprobs_BT - inputs.old_BT).exp()
    plain_BT = -inputs.advantages_BT * ratio_BT
    clipped_BT = -inputs.advantages_BT * ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    taken_BT = (clipped_BT > plain_BT) & inputs.mask_BT
    loss_BT = torch.maximum(plain_BT, clipped_BT)
    if dual is not None:
        bound_BT = -inputs.advantages_BT * dual
        over_BT = (inputs.advantages_BT < 0) & (loss_BT > bound_BT)
        loss_BT, taken_BT = torch.where(over_BT, bound_BT, loss_BT), taken_BT | (over_BT & inputs.mask_BT)
    return loss_BT, {"clip_fraction": taken_BT.sum()}
