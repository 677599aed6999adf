"""From a step's rollouts to micro-batches under a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from oneshot_rlvr.policy.trie import common_length
from oneshot_rlvr.rollout import Rollout

Ids = tuple[int, ...]
TRIE_NODES = 256  # in one trie; attention among its nodes costs their square
WORTH_A_TRIE = 0.6  # nodes, as a fraction of the responses' tokens


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


def microbatches(
    lengths: Sequence[int], indices: Sequence[int], budget: float, by_length: bool = True
) -> list[list[int]]:
    """Split `indices`, sorted by length, so that rows x longest stays within `budget` (one row may exceed it)."""
    batches: list[list[int]] = []
    longest = 0
    for i in sorted(indices, key=lambda i: (lengths[i], i)) if by_length else indices:
        longest = max(longest, lengths[i])
        if batches and (len(batches[-1]) + 1) * longest <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
            longest = lengths[i]
    return batches


def trie_microbatches(
    rows: Sequence[int], responses: Sequence[Ids], indices: Sequence[int], budget: float
) -> list[list[int]] | None:
    """Split `indices` so that responses that begin alike are together, or None where that would save little.

    A micro-batch has one trie for each of its prompts, none above `TRIE_NODES`, prompts x largest within `budget`.
    """
    batches: list[list[int]] = []
    sizes: dict[int, int] = {}  # of the last micro-batch's tries
    total, previous = 0, -1
    for i in sorted(indices, key=lambda i: (rows[i], responses[i])):
        new = len(responses[i])
        if previous >= 0 and rows[previous] == rows[i]:
            new -= common_length(responses[previous], responses[i])
        total, previous = total + new, i
        grown = {**sizes, rows[i]: sizes.get(rows[i], 0) + new}
        largest = max(grown.values())
        if batches and largest <= TRIE_NODES and len(grown) * largest <= budget:
            batches[-1].append(i)
            sizes = grown
        else:
            batches.append([i])
            sizes = {rows[i]: len(responses[i])}
    return batches if total <= WORTH_A_TRIE * sum(len(responses[i]) for i in indices) else None
