"""Updates by themselves, on responses that nobody sampled."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from oneshot_rlvr.algorithms import Algorithm, Experience
from oneshot_rlvr.config import Config
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.training.models import Models, policy_learner
from oneshot_rlvr.training.update import update

Ids = tuple[int, ...]


class Learning:
    """A policy with its optimizer and the configured algorithm."""

    def __init__(self, policy: Policy, config: Config) -> None:
        self.config = config
        self.models = Models(policy, {"policy": policy_learner(policy, config)})
        self.algorithm = Algorithm.of(config.algorithm, config.sampling.max_new_tokens)

    def update(self, experience: Experience) -> dict[str, float]:
        """One step's update."""
        return update(self.models, experience, self.algorithm, self.config)


def experience_of(
    prompts: Sequence[Ids], rows: Sequence[int], responses: Sequence[Ids], advantages_B: torch.Tensor
) -> Experience:
    """Each response a group of its own."""
    return Experience(
        prompts=tuple(prompts),
        prompt_B=tuple(rows),
        group_B=tuple(range(len(responses))),
        responses=tuple(responses),
        rewards_B=torch.zeros(len(responses)),
        sampler=[torch.full((len(ids),), -8.0) for ids in responses],
        advantages=[a.expand(len(ids)) for a, ids in zip(advantages_B, responses, strict=True)],
    )
