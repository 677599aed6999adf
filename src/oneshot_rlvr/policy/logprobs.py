"""Log-probability and entropy of chosen tokens, without a [B, T, V] tensor."""

from __future__ import annotations

import math
from typing import Any

import torch

from oneshot_rlvr.policy.products import multiply

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
    return _TokenScores.apply(hidden_NH, head.weight, head.bias, targets_N, temperature, rows)


class _TokenScores(torch.autograd.Function):
    """One pass over the logits each way, in place.

    With g and h the gradients of logprob and entropy H: dz = g (onehot(y) - p) - h p (log p + H), over temperature.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: torch.Tensor,
        weight_VH: torch.Tensor,
        bias_V: torch.Tensor | None,
        targets_N: torch.Tensor,
        temperature: float,
        rows: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        kind = hidden_NH.device.type
        ctx.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight_VH.dtype
        ctx.temperature, ctx.rows = temperature, rows
        results, logits_NV = [], None
        for hidden, targets in zip(hidden_NH.split(rows), targets_N.split(rows), strict=True):
            logits_NV = _scaled_logits(hidden, weight_VH, bias_V, ctx.dtype, temperature)
            normaliser = logits_NV.logsumexp(-1, keepdim=True)
            logprobs = logits_NV.gather(-1, targets[:, None]) - normaliser
            probs = (logits_NV - normaliser).exp_()
            entropy = normaliser[:, 0] - torch.linalg.vecdot(probs, logits_NV)
            results.append((logprobs[:, 0], entropy, normaliser[:, 0]))
        logprobs_N, entropy_N, normaliser_N = (torch.cat(parts) for parts in zip(*results, strict=True))
        kept = logits_NV if len(results) == 1 else None
        ctx.save_for_backward(hidden_NH, weight_VH, bias_V, targets_N, entropy_N, normaliser_N, kept)
        return logprobs_N, entropy_N

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_NH, weight_VH, bias_V, targets_N, entropy_N, normaliser_N, kept = ctx.saved_tensors
        by_logprob_N, by_entropy_N = gradients
        hidden_grad = torch.empty_like(hidden_NH)
        summed = weight_VH.dtype if kept is not None else torch.promote_types(weight_VH.dtype, torch.float32)
        weight_grad: torch.Tensor | None = None
        bias_grad = torch.zeros_like(bias_V, dtype=summed) if bias_V is not None and ctx.needs_input_grad[2] else None
        for start in range(0, len(hidden_NH), ctx.rows):
            part = slice(start, start + ctx.rows)
            hidden, g, h = hidden_NH[part], by_logprob_N[part, None], by_entropy_N[part, None]
            if kept is None:
                logits = _scaled_logits(hidden, weight_VH, bias_V, ctx.dtype, ctx.temperature)
            else:
                logits = kept.clone()  # the graph may be kept and run again
            logprobs = logits.sub_(normaliser_N[part, None])
            by_logits = logprobs.exp()
            by_logits *= logprobs.add_(entropy_N[part, None]).mul_(h).add_(g).neg_()
            by_logits.scatter_add_(-1, targets_N[part, None], g)
            by_logits = by_logits.div_(ctx.temperature).to(ctx.dtype)
            hidden_grad[part] = by_logits @ weight_VH.to(ctx.dtype)
            if ctx.needs_input_grad[1]:
                weight_grad = _added(weight_grad, by_logits.T, hidden.to(ctx.dtype), summed)
            if bias_grad is not None:
                bias_grad += by_logits.sum(0)
        weight_grad, bias_grad = (g if g is None else g.to(weight_VH.dtype) for g in (weight_grad, bias_grad))
        return hidden_grad, weight_grad, bias_grad, None, None, None


def _added(total: torch.Tensor | None, a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """total + a @ b in `dtype`; in place where the product has it, without a second tensor of the total's size."""
    if total is None:
        return (a @ b).to(dtype)
    return total.addmm_(a, b) if a.dtype == b.dtype == dtype else total.add_(a @ b)


def _scaled_logits(
    hidden_NH: torch.Tensor,
    weight_VH: torch.Tensor,
    bias_V: torch.Tensor | None,
    dtype: torch.dtype,
    temperature: float,
) -> torch.Tensor:
    """Logits over temperature, in float32 at least."""
    logits_NV = multiply(hidden_NH.to(dtype), weight_VH.to(dtype), None if bias_V is None else bias_V.to(dtype))
    return (logits_NV.float() if dtype in (torch.bfloat16, torch.float16) else logits_NV).div_(temperature)


def logit_scores(
    logits_NV: torch.Tensor, targets_N: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`token_scores` of logits that are there already."""
    if logits_NV.dtype in (torch.bfloat16, torch.float16):
        logits_NV = logits_NV.float()
    all_logprobs_NV = (logits_NV / temperature).log_softmax(-1)
    logprobs_N = all_logprobs_NV.gather(-1, targets_N[:, None]).squeeze(-1)
    return logprobs_N, -(all_logprobs_NV.exp() * all_logprobs_NV).sum(-1)


def token_certainty(
    head: torch.nn.Linear, hidden_NH: torch.Tensor, temperature: float, budget: int = LOGITS_BUDGET
) -> torch.Tensor:
    """`certainty` of states, a chunk of `budget` logits at a time; no gradient."""
    rows = max(1, budget // head.out_features)
    with torch.no_grad():
        parts = [certainty(head(part.to(head.weight.dtype)), temperature) for part in hidden_NH.split(rows)]
    return torch.cat(parts)


def certainty(logits_NV: torch.Tensor, temperature: float) -> torch.Tensor:
    """KL(uniform || p) = logsumexp(z) - mean(z) - log V with z = logits / temperature, [N]: self-certainty.

    0 where every token is as likely as any other. Source: Intuitor (arXiv 2505.19590, equation 3).
    """
    if logits_NV.dtype in (torch.bfloat16, torch.float16):
        logits_NV = logits_NV.float()
    scaled_NV = logits_NV / temperature
    return scaled_NV.logsumexp(-1) - scaled_NV.mean(-1) - math.log(logits_NV.shape[-1])
