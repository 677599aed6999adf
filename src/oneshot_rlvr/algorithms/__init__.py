"""Advantages and losses: pure functions of tensors.

Shape suffixes, everywhere in this package: B sequences, T response tokens, P prompts, G group size, V vocabulary,
N tokens picked out of [B, T].
"""

from oneshot_rlvr.algorithms.advantages import ADVANTAGES, dr_grpo_advantages, grpo_advantages, without_variance
from oneshot_rlvr.algorithms.losses import KL_ESTIMATORS, LossTerms, policy_loss

__all__ = [
    "ADVANTAGES",
    "KL_ESTIMATORS",
    "LossTerms",
    "dr_grpo_advantages",
    "grpo_advantages",
    "policy_loss",
    "without_variance",
]
