"""A critic: a causal language model whose output layer is one number, the value of the state before a token."""

from __future__ import annotations

import torch

from oneshot_rlvr.config import ModelSection
from oneshot_rlvr.policy.attention import output_layer
from oneshot_rlvr.policy.model import Policy, load_policy


def load_critic(section: ModelSection, share_prefix: bool = True) -> Policy:
    """A critic that begins as a model does and says 0 everywhere.

    Raises:
        OneshotError: no such model, or one that cannot be loaded.
    """
    return as_critic(load_policy(section, share_prefix))


def as_critic(policy: Policy) -> Policy:
    """Give a model one output, 0 at first, in the place of its vocabulary. A `ValueScorer` reads it."""
    words = output_layer(policy.model)
    value = torch.nn.Linear(words.in_features, 1, bias=False, device=words.weight.device, dtype=words.weight.dtype)
    torch.nn.init.zeros_(value.weight)
    policy.model.config.tie_word_embeddings = False
    policy.model.set_output_embeddings(value)
    return policy
