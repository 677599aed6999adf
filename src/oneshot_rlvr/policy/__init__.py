"""The policy: a Hugging Face causal language model, its scores under a shared prefix, its optimizer."""

import oneshot_rlvr.policy.gguf  # noqa: F401 - its reader makes itself known
from oneshot_rlvr.policy.critic import load_critic
from oneshot_rlvr.policy.forward import CertaintyScorer, EntropyScorer, Scorer, ValueScorer
from oneshot_rlvr.policy.model import Policy, load_policy
from oneshot_rlvr.policy.optimizer import learning_rate_factor, make_optimizer

__all__ = [
    "CertaintyScorer",
    "EntropyScorer",
    "Policy",
    "Scorer",
    "ValueScorer",
    "learning_rate_factor",
    "load_critic",
    "load_policy",
    "make_optimizer",
]
