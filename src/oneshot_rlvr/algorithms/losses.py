"""The policy loss and its terms.

Every term is a sum over response tokens divided by `denominator`, the number of response tokens of the whole
minibatch, so that splitting it into micro-batches never changes the result. (verl takes the token mean inside each
micro-batch and weighs micro-batches by their sequences, which makes the result depend on the split.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


def k1(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """log p - log q: unbiased, of either sign. Source: Schulman, "Approximating KL divergence" (2020)."""
    return logprobs - reference


def k2(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """(log p - log q)^2 / 2: biased, low variance; its gradient is that of the true KL. Source: as `k1`."""
    return 0.5 * (logprobs - reference).square()


def k3(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """q/p - log(q/p) - 1, clamped to [-10, 10]: unbiased, never negative. Source: as `k1`; verl's `low_var_kl`.

    The log-ratio is clamped to +-20 first, so that a far-away token gives no infinity.
    """
    ratio = (reference - logprobs).clamp(-20, 20)
    return (ratio.exp() - ratio - 1).clamp(-10, 10)


KL_ESTIMATORS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


@dataclass(frozen=True)
class LossTerms:
    """A loss to minimise, and detached sums over tokens for the metrics (divide by the tokens of the step)."""

    loss: torch.Tensor
    entropy_sum: torch.Tensor
    kl_sum: torch.Tensor
    clipped_sum: torch.Tensor


def clipped_objective(
    logprobs_BT: torch.Tensor,
    old_logprobs_BT: torch.Tensor,
    advantages_B: torch.Tensor,
    clip_low: float,
    clip_high: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The per-token surrogate to minimise, and which tokens the clip took.

    max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high)) with r = exp(logprob - old logprob).
    Source: PPO (arXiv 1707.06347, equation 7); two-sided clip as in DAPO (arXiv 2503.14476, equation 8).
    """
    ratio_BT = (logprobs_BT - old_logprobs_BT).exp()
    plain_BT = -advantages_B[:, None] * ratio_BT
    clipped_BT = -advantages_B[:, None] * ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    return torch.maximum(plain_BT, clipped_BT), clipped_BT > plain_BT


def policy_loss(
    logprobs_BT: torch.Tensor,
    old_logprobs_BT: torch.Tensor,
    advantages_B: torch.Tensor,
    entropy_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    denominator: float,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    entropy_coefficient: float = 0.0,
    kl_coefficient: float = 0.0,
    kl_estimator: str = "k3",
    reference_logprobs_BT: torch.Tensor | None = None,
) -> LossTerms:
    """GRPO's loss of a micro-batch: policy gradient - entropy_coefficient H + kl_coefficient KL, over `denominator`.

    With one update a rollout batch, `old_logprobs_BT` are the trainer's own, detached: the ratio is exactly 1 and the
    gradient that of REINFORCE with GRPO's advantages. Source: arXiv 2402.03300, equation 3; verl `core_algos.py`.

    mask_BT is True on response tokens, the stop token among them. Nothing is written in place.
    """
    surrogate_BT, clipped_BT = clipped_objective(logprobs_BT, old_logprobs_BT, advantages_B, clip_low, clip_high)
    zero = logprobs_BT.new_zeros(())
    loss = torch.where(mask_BT, surrogate_BT, 0.0).sum() / denominator
    entropy_sum = torch.where(mask_BT, entropy_BT, 0.0).sum()
    if entropy_coefficient:
        loss = loss - entropy_coefficient * entropy_sum / denominator
    kl_sum = zero
    if reference_logprobs_BT is not None:
        kl_BT = KL_ESTIMATORS[kl_estimator](logprobs_BT, reference_logprobs_BT)
        kl_sum = torch.where(mask_BT, kl_BT, 0.0).sum()
        loss = loss + kl_coefficient * kl_sum / denominator
    clipped_sum = (clipped_BT & mask_BT).sum().to(loss.dtype)
    return LossTerms(loss, entropy_sum.detach(), kl_sum.detach(), clipped_sum)
