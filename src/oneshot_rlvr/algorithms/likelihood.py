"""Plain log-likelihood: supervised learning as an algorithm among the others."""

from __future__ import annotations

from dataclasses import replace

import torch

from oneshot_rlvr.algorithms.experience import Experience, LossInputs, Surrogate
from oneshot_rlvr.algorithms.registries import ADVANTAGES, SURROGATES


@ADVANTAGES.register("ones")
def ones(experience: Experience) -> Experience:
    """A = 1 for every token, whatever was earned: each response is an example to follow."""
    return replace(experience, advantages=[torch.ones(length) for length in experience.lengths_B])


@SURROGATES.register("log_likelihood")
def log_likelihood(inputs: LossInputs) -> Surrogate:
    """-A logprob: the policy gradient without a ratio; with A = 1, supervised fine-tuning's cross-entropy."""
    return -inputs.advantages_BT * inputs.logprobs_BT, {}
