"""Rewards that the policy gives itself: how sure it is of its own tokens. No label is used."""

from __future__ import annotations

from dataclasses import replace

import torch

from oneshot_rlvr.algorithms.experience import Experience, Ragged
from oneshot_rlvr.algorithms.grpo import grpo
from oneshot_rlvr.algorithms.registries import ADVANTAGES


@ADVANTAGES.register("rent", needs=("entropy",))
def rent(experience: Experience, epsilon: float = 1e-6) -> Experience:
    """GRPO's advantage of r = -(mean over the response's tokens of the policy's entropy).

    The configured reward trains nothing and stays in the metrics. Source: RENT (arXiv 2505.22660), whose reward is of
    all of the response's tokens too.
    """
    assert experience.entropy is not None
    return _rewarded(experience, [-row for row in experience.entropy], epsilon)


@ADVANTAGES.register("intuitor", needs=("certainty",))
def intuitor(experience: Experience, epsilon: float = 1e-6) -> Experience:
    """GRPO's advantage of r = mean over the response's tokens of KL(uniform || policy): self-certainty.

    Entropy weighs tokens by their probability; this weighs all of the vocabulary alike, and so asks that what is
    unlikely be very unlikely. The configured reward stays in the metrics. Source: Intuitor (arXiv 2505.19590).
    """
    assert experience.certainty is not None
    return _rewarded(experience, experience.certainty, epsilon)


def _rewarded(experience: Experience, by_token: Ragged, epsilon: float) -> Experience:
    """The experience with GRPO's advantages of each response's mean; unscorable responses are scored by this too."""
    means = [float(row.double().mean()) for row in by_token]
    judged = grpo(replace(experience, rewards_B=torch.tensor(means, dtype=torch.float64)), epsilon)
    return replace(experience, advantages=judged.advantages)
