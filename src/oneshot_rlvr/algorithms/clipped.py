"""The clipped surrogate of PPO, which GRPO took over."""

from __future__ import annotations

import torch

from oneshot_rlvr.algorithms.experience import LossInputs, Surrogate
from oneshot_rlvr.algorithms.registries import SURROGATES


@SURROGATES.register("clipped")
def clipped(inputs: LossInputs, clip_low: float = 0.2, clip_high: float = 0.2) -> Surrogate:
    """max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) with r = exp(logprob - old logprob), token by token.

    With one update a batch r is exactly 1, and the gradient that of REINFORCE. Source: PPO (arXiv 1707.06347, equation
    7); two-sided clip as in DAPO (arXiv 2503.14476, equation 8). The clip is `algorithm.clip_low` and `clip_high`.
    """
    ratio_BT = (inputs.logprobs_BT - inputs.old_BT).exp()
    plain_BT = -inputs.advantages_BT * ratio_BT
    clipped_BT = -inputs.advantages_BT * ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    taken_BT = (clipped_BT > plain_BT) & inputs.mask_BT
    return torch.maximum(plain_BT, clipped_BT), {"clip_fraction": taken_BT.sum()}
