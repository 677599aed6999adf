"""A step's rollouts through a model: in micro-batches under a token budget, as tries where they are alike."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from oneshot_rlvr.algorithms import Experience
from oneshot_rlvr.config import Config
from oneshot_rlvr.memory import Budget, in_pieces
from oneshot_rlvr.policy import CertaintyScorer, EntropyScorer, Policy, Scorer, ValueScorer
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
class Piece:
    """Rollouts whose prompts are encoded together: a scorer of these prompts, and micro-batches."""

    scorer: Scorer
    places: Mapping[int, int]
    experience: Experience
    micros: Sequence[Sequence[int]]
    as_tries: bool

    def score(self, micro: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """What `Scorer.score` gives for a micro-batch."""
        seen = self.experience
        rows = [self.places[seen.prompt_B[i]] for i in micro]
        return self.scorer.score(rows, [seen.responses[i] for i in micro], self.as_tries)


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

    def pieces(self, policy: Policy, indices: Sequence[int], kind: type[Scorer] = Scorer) -> Iterator[Piece]:
        """Rollouts by prompts that are encoded together, as many as the budget holds; the scorer is open meanwhile."""
        seen, speed = self.experience, self.config.speed
        lengths = [len(prompt) for prompt in seen.prompts]
        asked = sorted({seen.prompt_B[i] for i in indices})
        parts = (
            microbatches(lengths, asked, self.budget.size, speed.sort_by_length) if policy.shared_prefix else [asked]
        )
        logits = LOGITS_BUDGET if speed.chunk_logits else 1 << 62
        for prompts in parts:
            places = {prompt: place for place, prompt in enumerate(prompts)}
            micros, as_tries = self._split(policy, [i for i in indices if seen.prompt_B[i] in places])
            shown = [seen.prompts[prompt] for prompt in prompts]
            with kind(policy, shown, self.config.sampling.temperature, logits) as scorer:
                yield Piece(scorer, places, seen, micros, as_tries)

    def _split(self, policy: Policy, indices: Sequence[int]) -> tuple[list[list[int]], bool]:
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

    def scores(self, models: Models, need: str, indices: Sequence[int]) -> list[torch.Tensor]:
        """One need's scores of some rollouts without gradients; an empty tensor for each of the others."""
        policy = models.of(need)
        is_base = policy is models.policy and need in models.frozen
        with torch.no_grad(), adapters_off(policy.model) if is_base else contextlib.nullcontext():
            return in_pieces(self.budget, partial(self._scores, policy, indices, SCORES[need]))

    def _scores(self, policy: Policy, indices: Sequence[int], kind: type[Scorer]) -> list[torch.Tensor]:
        found = [torch.empty(0)] * len(self.experience)
        for piece in self.pieces(policy, indices, kind):
            for micro in piece.micros:
                scores_BT, *_ = piece.score(micro)
                for i, scores_T in zip(micro, scores_BT, strict=True):
                    found[i] = scores_T[: self.experience.lengths_B[i]]
        return found


def score(models: Models, passes: Passes, needs: Set[str], used: Sequence[int] | None = None) -> Experience:
    """The experience with the scores in `needs` that it lacks: of all rollouts, or of those `used`."""
    missing = [need for need in SCORES if need in needs and getattr(passes.experience, need) is None]
    indices = range(len(passes.experience)) if used is None else used
    through = {need: passes.informed() if need == "informed" else passes for need in missing}
    found: dict[str, Any] = {need: one.scores(models, need, indices) for need, one in through.items()}
    return replace(passes.experience, **found)
