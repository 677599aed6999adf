"""Log-probability and entropy of chosen tokens, without a [B, T, V] tensor."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

LOGITS_BUDGET = 1 << 24  # logits held at once; 64 MiB in float32


def token_scores(
    head: torch.nn.Linear,
    hidden_NH: torch.Tensor,
    targets_N: torch.Tensor,
    temperature: float,
    budget: int = LOGITS_BUDGET,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each target and entropy of its distribution, both [N], at `temperature`.

    logprob = z_y - logsumexp(z) and entropy = logsumexp(z) - sum(p z) with z = logits / temperature, as verl computes
    them. Beyond `budget` logits the tokens go in chunks whose logits are made again in the backward pass.
    """
    rows = max(1, budget // head.out_features)
    if len(targets_N) <= rows:
        return _scores(head, hidden_NH, targets_N, temperature)
    pieces = [
        checkpoint(_scores, head, hidden, targets, temperature, use_reentrant=False)
        for hidden, targets in zip(hidden_NH.split(rows), targets_N.split(rows), strict=True)
    ]
    logprobs, entropies = zip(*pieces, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


def _scores(
    head: torch.nn.Module, hidden_NH: torch.Tensor, targets_N: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    return logit_scores(head(hidden_NH), targets_N, temperature)


def logit_scores(
    logits_NV: torch.Tensor, targets_N: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`token_scores` of logits that are there already."""
    if logits_NV.dtype in (torch.bfloat16, torch.float16):
        logits_NV = logits_NV.float()
    all_logprobs_NV = (logits_NV / temperature).log_softmax(-1)
    logprobs_N = all_logprobs_NV.gather(-1, targets_N[:, None]).squeeze(-1)
    return logprobs_N, -(all_logprobs_NV.exp() * all_logprobs_NV).sum(-1)
