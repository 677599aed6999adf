"""CISPO: the clipped ratio as a weight."""

from __future__ import annotations

from oneshot_rlvr.algorithms.experience import LossInputs, Surrogate
from oneshot_rlvr.algorithms.registries import SURROGATES


@SURROGATES.register("cispo")
def cispo(inputs: LossInputs, low: float = 1.0, high: float = 0.2) -> Surrogate:
    """-sg(clip(r, 1 - low, 1 + high)) A logprob with r = exp(logprob - old logprob).

    GRPO's clip takes a token's gradient away; here it only bounds the token's weight, and every token keeps a gradient.
    `low` of 1 sets no lower bound, as in the paper. Source: CISPO (MiniMax-M1, arXiv 2506.13585, equations 4 and 5).
    """
    ratio_BT = (inputs.logprobs_BT.detach() - inputs.old_BT).exp()
    weight_BT = ratio_BT.clamp(1 - low, 1 + high)
    taken_BT = (weight_BT != ratio_BT) & inputs.mask_BT
    return -weight_BT * inputs.advantages_BT * inputs.logprobs_BT, {"clip_fraction": taken_BT.sum()}
