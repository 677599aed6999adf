"""GSPO: the ratio of whole sequences."""

from __future__ import annotations

import torch

from oneshot_rlvr.algorithms.experience import LossInputs, Surrogate
from oneshot_rlvr.algorithms.registries import SURROGATES


@SURROGATES.register("gspo")
def gspo(inputs: LossInputs, low: float = 3e-4, high: float = 4e-4) -> Surrogate:
    """max(-A s, -A clip(s, 1 - low, 1 + high)) with s = exp(mean over tokens of logprob - old logprob).

    GRPO clips token by token; here a response is clipped as a whole, by the geometric mean of its tokens' ratios. The
    gradient reaches each token through s_t = sg(s) exp(logprob_t - sg(logprob_t)), whose value is s, so that advantages
    may differ within a response. To be aggregated with `sequence_mean`.
    Source: GSPO (arXiv 2507.18071, equations 5 to 7 and, for s_t, 14); clip range as in its section 5.1.
    """
    mask_BT, logprobs_BT = inputs.mask_BT, inputs.logprobs_BT
    difference_BT = torch.where(mask_BT, logprobs_BT.detach() - inputs.old_BT, 0.0)
    mean_B1 = difference_BT.sum(1, keepdim=True) / mask_BT.sum(1, keepdim=True).clamp_min(1)
    ratio_BT = (logprobs_BT - logprobs_BT.detach() + mean_B1).exp()
    plain_BT = -inputs.advantages_BT * ratio_BT
    clipped_BT = -inputs.advantages_BT * ratio_BT.clamp(1 - low, 1 + high)
    taken_BT = (clipped_BT > plain_BT) & mask_BT
    return torch.maximum(plain_BT, clipped_BT), {"clip_fraction": taken_BT.sum()}
