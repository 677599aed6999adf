"""The policy: a Hugging Face causal language model, its scores under a shared prefix, its optimizer."""

from oneshot_rlvr.policy.forward import Scorer, score_rollouts
from oneshot_rlvr.policy.model import Policy, load_policy
from oneshot_rlvr.policy.optimizer import learning_rate_factor, make_optimizer

__all__ = ["Policy", "Scorer", "learning_rate_factor", "load_policy", "make_optimizer", "score_rollouts"]
