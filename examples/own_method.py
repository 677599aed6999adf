"""An advantage: GRPO's, with nothing beyond one standard deviation.

oneshot train own_method.yaml --model tiny --steps 4
"""

from __future__ import annotations

from dataclasses import replace

from oneshot_rlvr.algorithms import ADVANTAGES, Experience


def gentle(experience: Experience) -> Experience:
    """Each rollout's advantage is its group's z-score, cut to [-1, 1]."""
    found = ADVANTAGES["grpo"](experience)
    return replace(found, advantages=[row.clamp(-1, 1) for row in found.advantages])
