"""Maximum-likelihood reinforcement learning."""

from __future__ import annotations

import torch

from oneshot_rlvr.algorithms.experience import Experience
from oneshot_rlvr.algorithms.groups import alone, centred
from oneshot_rlvr.algorithms.registries import ADVANTAGES


@ADVANTAGES.register("max_rl")
def max_rl(experience: Experience) -> Experience:
    """A = (r - mean) / mean: GRPO with the mean in the std's place, so that a rarely solved problem weighs about 1 / p.

    The gradient is that of the log of the success probability, to the order of the group's size. For rewards that are
    not negative: a group whose mean is 0 or below gets 0. A group of one takes A = r. Source: MaxRL (arXiv 2602.02710).
    """
    rewards_PG, sizes_P = experience.rewards_PG, experience.sizes_P
    centred_PG, mean_P1, _ = centred(rewards_PG, sizes_P)
    divisor_P1 = torch.where(alone(rewards_PG, sizes_P)[:, None], 1.0, mean_P1)
    return experience.by_group(torch.where(divisor_P1 > 0, centred_PG / divisor_P1, 0.0))
