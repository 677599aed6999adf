"""Draw one token a row from logits and given uniform numbers."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

BLOCK = 1024  # tokens; a large vocabulary's distribution function is summed in two levels, both in float64


def draw(
    logits_BV: torch.Tensor, numbers_B: torch.Tensor, temperature: float, top_p: float = 1.0, top_k: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and their log-probabilities, by the inverse distribution function at `numbers_B` in [0, 1).

    Temperature 0 takes the likeliest token and reports its log-probability at temperature 1. After top-k and top-p the
    log-probabilities are those of the renormalised distribution.
    """
    if logits_BV.dtype in (torch.bfloat16, torch.float16):
        logits_BV = logits_BV.float()
    if temperature == 0:
        logprobs_BV = logits_BV.log_softmax(-1)
        token_B = logits_BV.argmax(-1)
    else:
        logprobs_BV = truncate(logits_BV / temperature, top_p, top_k).log_softmax(-1)
        token_B = inverse_cdf(logprobs_BV.exp(), numbers_B)
    return token_B, logprobs_BV.gather(-1, token_B[:, None]).squeeze(-1)


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


def inverse_cdf(probs_BV: torch.Tensor, numbers_B: torch.Tensor) -> torch.Tensor:
    """The first token at which the distribution function exceeds each number; never one of probability 0."""
    batch, vocabulary = probs_BV.shape
    blocks_BNK = pad(probs_BV, (0, -vocabulary % BLOCK)).view(batch, -1, BLOCK)
    mass_BN = blocks_BNK.sum(-1, dtype=torch.float64)
    cdf_BN = mass_BN.cumsum(-1)
    target_B1 = (numbers_B.double() * cdf_BN[:, -1])[:, None]
    block_B1 = torch.searchsorted(cdf_BN, target_B1, right=True).clamp_max(mass_BN.shape[1] - 1)
    before_B1 = cdf_BN.gather(1, block_B1) - mass_BN.gather(1, block_B1)
    inner_BK = blocks_BNK[torch.arange(batch, device=probs_BV.device), block_B1[:, 0]].double().cumsum(-1)
    below_end_B1 = inner_BK[:, -1:] * (1 - 2.0**-50)
    inside_B1 = torch.searchsorted(inner_BK, torch.minimum(target_B1 - before_B1, below_end_B1), right=True)
    return (block_B1 * BLOCK + inside_B1).squeeze(1)
