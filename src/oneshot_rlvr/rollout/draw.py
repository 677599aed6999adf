"""Draw one token a row from its slot's logits and a given uniform number."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

BLOCK = 128  # tokens; a large vocabulary's distribution function is summed in two levels, both in float64


def draw(
    logits_SV: torch.Tensor,
    slots_B: NDArray[np.int64],
    numbers_B: NDArray[np.float64],
    temperature: float,
    top_p: float = 1.0,
    top_k: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """A token and its log-probability for each row b, by the inverse of slot `slots_B[b]`'s distribution function at
    `numbers_B[b]` in [0, 1).

    Temperature 0 takes the likeliest token and reports its log-probability at temperature 1. After top-k and top-p the
    log-probabilities are those of the renormalised distribution.
    """
    slots = torch.from_numpy(slots_B).to(logits_SV.device)
    if logits_SV.dtype in (torch.bfloat16, torch.float16):
        logits_SV = logits_SV.float()
    if temperature == 0:
        logprobs_SV = logits_SV.log_softmax(-1)
        token_B = logits_SV.argmax(-1)[slots]
    else:
        logprobs_SV = truncate(logits_SV / temperature, top_p, top_k).log_softmax(-1)
        token_B = inverse_cdf(logprobs_SV.exp(), slots, torch.from_numpy(numbers_B).to(logits_SV.device))
    return token_B.cpu().numpy(), logprobs_SV[slots, token_B].cpu().numpy()


def truncate(logits_BV: torch.Tensor, top_p: float, top_k: int) -> torch.Tensor:
    """Logits with minus infinity outside the `top_k` likeliest and the smallest set of probability `top_p`."""
    if 0 < top_k < logits_BV.shape[-1]:
        least_B1 = logits_BV.topk(top_k, -1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
    if top_p < 1:
        ordered_BV, order_BV = logits_BV.sort(-1, descending=True)
        probs_BV = ordered_BV.softmax(-1)
        beyond_BV = probs_BV.cumsum(-1) - probs_BV >= top_p  # the mass before it is enough already
        logits_BV = logits_BV.masked_fill(torch.zeros_like(beyond_BV).scatter(-1, order_BV, beyond_BV), -torch.inf)
    return logits_BV


def inverse_cdf(probs_SV: torch.Tensor, slots_B: torch.Tensor, numbers_B: torch.Tensor) -> torch.Tensor:
    """The first token at which a slot's distribution function exceeds a row's number; never one of probability 0."""
    slots, vocabulary = probs_SV.shape
    blocks_SNK = pad(probs_SV, (0, -vocabulary % BLOCK)).view(slots, -1, BLOCK)
    mass_SN = blocks_SNK.sum(-1, dtype=torch.float64)
    mass_BN, cdf_BN = mass_SN[slots_B], mass_SN.cumsum(-1)[slots_B]
    target_B1 = (numbers_B * cdf_BN[:, -1])[:, None]
    block_B1 = torch.searchsorted(cdf_BN, target_B1, right=True).clamp_max(mass_SN.shape[1] - 1)
    before_B1 = cdf_BN.gather(1, block_B1) - mass_BN.gather(1, block_B1)
    inner_BK = blocks_SNK[slots_B, block_B1[:, 0]].double().cumsum(-1)
    below_end_B1 = inner_BK[:, -1:] * (1 - 2.0**-50)
    inside_B1 = torch.searchsorted(inner_BK, torch.minimum(target_B1 - before_B1, below_end_B1), right=True)
    return (block_B1 * BLOCK + inside_B1).squeeze(1)
