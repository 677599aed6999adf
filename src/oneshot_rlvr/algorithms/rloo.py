"""REINFORCE leave-one-out."""

from __future__ import annotations

from oneshot_rlvr.algorithms.experience import Experience
from oneshot_rlvr.algorithms.groups import centred
from oneshot_rlvr.algorithms.registries import ADVANTAGES


@ADVANTAGES.register("rloo")
def rloo(experience: Experience) -> Experience:
    """A = r - (mean of the group's other rewards) = n / (n - 1) (r - mean): an unbiased baseline, no std.

    A group of one takes mean 0. Source: RLOO (arXiv 2402.14740, equation 8), as in verl's
    `compute_rloo_outcome_advantage`.
    """
    centred_PG, _, count_P1 = centred(experience.rewards_PG, experience.sizes_P)
    return experience.by_group(centred_PG * count_P1 / (count_P1 - 1).clamp_min(1))
