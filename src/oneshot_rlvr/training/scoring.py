"""A step's rollouts through a model: in micro-batches under a token budget, as tries where they are alike."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import torch

from oneshot_rlvr.algorithms import Experience
from oneshot_rlvr.config import Config
from oneshot_rlvr.memory import Budget, in_pieces
from oneshot_rlvr.policy import CertaintyScorer, EntropyScorer, Policy, Scorer, ValueScorer, score_rollouts
from oneshot_rlvr.policy.logprobs import LOGITS_BUDGET
from oneshot_rlvr.policy.lora import adapters_off
from oneshot_rlvr.training.batching import microbatch_tokens, microbatches, trie_microbatches
from oneshot_rlvr.training.models import Models

SCORES: dict[str, type[Scorer]] = {  # what is read of a model for each need
    "old": Scorer,
    "reference": Scorer,
    "teacher": Scorer,
    "informed": Scorer,
    "entropy": EntropyScorer,
    "certainty": CertaintyScorer,
    "values": ValueScorer,
}


def microbatch_budget(config: Config, device: torch.device) -> Budget:
    """Tokens of a micro-batch, halved when memory runs out."""
    tokens = microbatch_tokens(config.batch.microbatch_tokens, device.type)
    return Budget(tokens, 1, "the micro-batch", "batch.microbatch_tokens")


@dataclass(frozen=True)
class Passes:
    """How a step's rollouts go through models."""

    experience: Experience
    config: Config
    budget: Budget

    def informed(self) -> Passes:
        """The same rollouts after the prompts that show the solution."""
        seen = self.experience
        assert seen.informed_prompts is not None
        index = {ids: i for i, ids in enumerate(dict.fromkeys(seen.informed_prompts))}
        rows = tuple(index[seen.informed_prompts[group]] for group in seen.group_B)
        return replace(self, experience=replace(seen, prompts=tuple(index), prompt_B=rows))

    def split(self, policy: Policy, indices: Sequence[int]) -> tuple[list[list[int]], bool]:
        """Rollouts in micro-batches, and whether they are to be computed as tries."""
        seen, speed, shared = self.experience, self.config.speed, policy.shared_prefix
        if speed.share_histories and shared:
            alike = trie_microbatches(seen.prompt_B, seen.responses, indices, self.budget.size)
            if alike is not None:
                return alike, True
        read = [
            length + (0 if shared else len(seen.prompts[row]))
            for length, row in zip(seen.lengths_B, seen.prompt_B, strict=True)
        ]
        return microbatches(read, indices, self.budget.size, speed.sort_by_length), False

    def scorer(self, policy: Policy, kind: type[Scorer] = Scorer) -> Scorer:
        """Scores of the step's prompts."""
        logits = LOGITS_BUDGET if self.config.speed.chunk_logits else 1 << 62
        return kind(policy, self.experience.prompts, self.config.sampling.temperature, logits)

    def scores(self, models: Models, need: str, indices: Sequence[int]) -> list[torch.Tensor]:
        """One need's scores of some rollouts without gradients; an empty tensor for each of the others."""
        seen, policy = self.experience, models.of(need)
        is_base = policy is models.policy and need in models.frozen
        with adapters_off(policy.model) if is_base else contextlib.nullcontext():
            scorer = self.scorer(policy, SCORES[need])
            return in_pieces(
                self.budget,
                lambda: score_rollouts(scorer, seen.prompt_B, seen.responses, *self.split(policy, indices)),
            )


def score(models: Models, passes: Passes, needs: Set[str], used: Sequence[int] | None = None) -> Experience:
    """The experience with the scores in `needs` that it lacks: of all rollouts, or of those `used`."""
    missing = [need for need in SCORES if need in needs and getattr(passes.experience, need) is None]
    indices = range(len(passes.experience)) if used is None else used
    through = {need: passes.informed() if need == "informed" else passes for need in missing}
    found: dict[str, Any] = {need: one.scores(models, need, indices) for need, one in through.items()}
    return replace(passes.experience, **found)
