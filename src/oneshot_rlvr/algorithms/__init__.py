"""Algorithms: pure functions of tensors. An algorithm is advantage x surrogate x aggregation + penalties.

Shape suffixes, everywhere in this package: B sequences, T response tokens, P prompts or groups, G group size,
V vocabulary, N tokens picked out of [B, T].

| | takes | gives |
|---|---|---|
| advantage | `Experience` | `Experience` with a weight for every token |
| surrogate | `LossInputs` | what is minimised at every token [B, T], and sums for the metrics |
| aggregation | values [B, T], mask, `Totals` | a sum and what divides it |
| penalty | `LossInputs` | a term at every token [B, T] |

Each unit is registered under a name; `needs` says what it wants to be there (`experience.NEEDS`).
"""

from oneshot_rlvr.algorithms import (  # noqa: F401 - each file registers its units
    aggregations,
    cispo,
    clipped,
    distillation,
    dr_grpo,
    gae,
    grpo,
    gspo,
    intrinsic,
    likelihood,
    max_rl,
    nothing,
    penalties,
    reinforce_pp,
    rloo,
)
from oneshot_rlvr.algorithms.algorithm import Algorithm
from oneshot_rlvr.algorithms.experience import Experience, LossInputs, LossTerms, Totals
from oneshot_rlvr.algorithms.groups import without_variance
from oneshot_rlvr.algorithms.registries import ADVANTAGES, AGGREGATIONS, KL_ESTIMATORS, PENALTIES, SURROGATES

__all__ = [
    "ADVANTAGES",
    "AGGREGATIONS",
    "KL_ESTIMATORS",
    "PENALTIES",
    "SURROGATES",
    "Algorithm",
    "Experience",
    "LossInputs",
    "LossTerms",
    "Totals",
    "without_variance",
]
