"""On-policy distillation: a teacher says of every token that was sampled whether it would have been likelier."""

from __future__ import annotations

from dataclasses import replace

from oneshot_rlvr.algorithms.experience import Experience, Ragged
from oneshot_rlvr.algorithms.registries import ADVANTAGES

_NEEDS = ("zero_advantage", "old")


@ADVANTAGES.register("distillation", needs=(*_NEEDS, "teacher"))
def distillation(experience: Experience) -> Experience:
    """A_t = log p_teacher(y_t) - log p_old(y_t): minus the sampled token's part in the reverse KL, which it minimises.

    Rewards train nothing; every token has an advantage of its own, and there is no baseline: its expectation under the
    policy is the divergence itself. `algorithm.teacher` names the teacher. Source: on-policy distillation (GKD, arXiv
    2306.13649, with the policy gradient of the reverse KL); one query: arXiv 2609.04172.
    """
    return _towards(experience, experience.teacher)


@ADVANTAGES.register("self_distillation", needs=(*_NEEDS, "informed"))
def self_distillation(experience: Experience) -> Experience:
    """`distillation` with the run's own base, shown the problem's solution, as the teacher.

    The teacher stays as it was. Source: on-policy self-distillation (OPSD, arXiv 2601.18734).
    """
    return _towards(experience, experience.informed)


def _towards(experience: Experience, teacher: Ragged | None) -> Experience:
    assert experience.old is not None
    assert teacher is not None
    pairs = zip(teacher, experience.old, strict=True)
    return replace(experience, advantages=[theirs.double() - ours.double() for theirs, ours in pairs])
