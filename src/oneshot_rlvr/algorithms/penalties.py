"""Terms that are added to the surrogate, and the estimators of a KL divergence."""

from __future__ import annotations

import torch

from oneshot_rlvr.algorithms.experience import LossInputs
from oneshot_rlvr.algorithms.registries import KL_ESTIMATORS, PENALTIES


@KL_ESTIMATORS.register("k1")
def k1(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """log p - log q: unbiased, of either sign. Source: Schulman, "Approximating KL divergence" (2020)."""
    return logprobs - reference


@KL_ESTIMATORS.register("k2")
def k2(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """(log p - log q)^2 / 2: biased, low variance; its gradient is that of the true KL. Source: as `k1`."""
    return 0.5 * (logprobs - reference).square()


@KL_ESTIMATORS.register("k3")
def k3(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """q/p - log(q/p) - 1, clamped to [-10, 10]: unbiased, never negative. Source: as `k1`; verl's `low_var_kl`.

    The log-ratio is clamped to +-20 first, so that a far-away token gives no infinity.
    """
    ratio = (reference - logprobs).clamp(-20, 20)
    return (ratio.exp() - ratio - 1).clamp(-10, 10)


@PENALTIES.register("entropy", needs=("zero_advantage",))
def entropy(inputs: LossInputs) -> torch.Tensor:
    """The entropy of each token's distribution, in nats. `algorithm.entropy_coefficient` subtracts it: a bonus."""
    return inputs.entropy_BT


@PENALTIES.register("kl", needs=("reference", "zero_advantage"))
def kl(inputs: LossInputs, estimator: str = "k3") -> torch.Tensor:
    """An estimate of KL(policy || reference) at each token. `algorithm.kl_coefficient` adds it: GRPO's KL loss."""
    assert inputs.reference_BT is not None
    return KL_ESTIMATORS.unit(estimator)(inputs.logprobs_BT, inputs.reference_BT)
