"""From a step's rollouts to micro-batches under a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from oneshot_rlvr.rollout import Rollout

Ids = tuple[int, ...]


@dataclass(frozen=True)
class StepBatch:
    """The rollouts of a step, flat: `rows[i]` is the index in `prompts` of rollout i's prompt."""

    prompts: list[Ids]
    rows: list[int]
    responses: list[Ids]
    sampler_logprobs: list[tuple[float, ...]]
    advantages_B: torch.Tensor

    @classmethod
    def of(cls, rollouts_PG: Sequence[Sequence[Rollout]], advantages_PG: torch.Tensor) -> StepBatch:
        """Flatten groups; equal prompts become one."""
        flat = [rollout for group in rollouts_PG for rollout in group]
        index = {ids: i for i, ids in enumerate(dict.fromkeys(rollout.prompt_ids for rollout in flat))}
        return cls(
            prompts=list(index),
            rows=[index[rollout.prompt_ids] for rollout in flat],
            responses=[rollout.response_ids for rollout in flat],
            sampler_logprobs=[rollout.logprobs for rollout in flat],
            advantages_B=advantages_PG.flatten(),
        )

    def tokens(self, indices: Sequence[int]) -> int:
        """Response tokens of some rollouts."""
        return sum(len(self.responses[i]) for i in indices)

    def minibatches(self, count: int) -> list[list[int]]:
        """The rollouts in `count` parts of whole groups."""
        size = len(self.responses) // count
        return [list(range(part * size, (part + 1) * size)) for part in range(count)]


def microbatches(lengths: Sequence[int], indices: Sequence[int], budget: int) -> list[list[int]]:
    """Split `indices`, sorted by length, so that rows x longest stays within `budget` (one row may exceed it)."""
    batches: list[list[int]] = []
    for i in sorted(indices, key=lambda i: (lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * lengths[i] <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
