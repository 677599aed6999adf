"""What a step has seen, its rollouts with all that is known of their tokens; and what a loss is given of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import torch

Ids = tuple[int, ...]
Ragged = Sequence[torch.Tensor]  # a tensor [T] for each rollout, T its length
# What a unit may ask for: log-probabilities before the first update, of the reference model, of the teacher, of the
# base shown the solution (`informed`); a critic's values; the policy's entropy and certainty at every token; and that
# rollouts whose advantages are all 0 are scored too.
NEEDS = ("old", "reference", "teacher", "informed", "values", "entropy", "certainty", "zero_advantage")


class Sampled(Protocol):
    """What is used of a rollout. `logprobs` is empty where nothing was sampled."""

    @property
    def prompt_ids(self) -> Ids: ...
    @property
    def response_ids(self) -> Ids: ...
    @property
    def logprobs(self) -> Sequence[float]: ...


class Rewarded(Protocol):
    """A group: rollouts whose rewards are compared, None for an unscorable one."""

    @property
    def rollouts(self) -> Sequence[Sampled]: ...
    @property
    def rewards(self) -> Sequence[float | None]: ...
    @property
    def informed_ids(self) -> Ids | None: ...


@dataclass(frozen=True)
class Experience:
    """A step's rollouts, flat, B of them in order of their groups; each stage fills one more field.

    `prompt_B` is each rollout's place in `prompts`, `group_B` its group; `informed_prompts` has each group's prompt
    with the solution shown, where an algorithm needs it. `rewards_B` is NaN where unscorable. The rest holds a tensor
    [T] a rollout, or None until a stage fills it: log-probabilities of `sampler`, `old` policy, `reference`, `teacher`,
    and `informed` base; the policy's `entropy` and `certainty`; a critic's `values` before each token; `advantages`,
    and `returns`, which values aim at. `kl_coefficient` is what an advantage's `kl` has become where it is steered.
    """

    prompts: tuple[Ids, ...]
    prompt_B: tuple[int, ...]
    group_B: tuple[int, ...]
    responses: tuple[Ids, ...]
    rewards_B: torch.Tensor
    sampler: Ragged | None = None
    old: Ragged | None = None
    reference: Ragged | None = None
    teacher: Ragged | None = None
    informed: Ragged | None = None
    entropy: Ragged | None = None
    certainty: Ragged | None = None
    values: Ragged | None = None
    advantages: Ragged | None = None
    returns: Ragged | None = None
    informed_prompts: tuple[Ids, ...] | None = None
    kl_coefficient: float | None = None

    @classmethod
    def of(cls, groups: Sequence[Rewarded]) -> Experience:
        """Flatten graded groups; equal prompts become one."""
        flat = [(place, rollout) for place, group in enumerate(groups) for rollout in group.rollouts]
        index = {ids: i for i, ids in enumerate(dict.fromkeys(rollout.prompt_ids for _, rollout in flat))}
        rewards = [float("nan") if reward is None else reward for group in groups for reward in group.rewards]
        lengths = [len(rollout.response_ids) for _, rollout in flat]
        logprobs = torch.tensor([value for _, rollout in flat for value in rollout.logprobs])
        informed = tuple(group.informed_ids for group in groups if group.informed_ids is not None)
        return cls(
            prompts=tuple(index),
            prompt_B=tuple(index[rollout.prompt_ids] for _, rollout in flat),
            group_B=tuple(place for place, _ in flat),
            responses=tuple(rollout.response_ids for _, rollout in flat),
            rewards_B=torch.tensor(rewards, dtype=torch.float64),
            sampler=logprobs.split(lengths) if len(logprobs) == sum(lengths) else None,
            informed_prompts=informed if len(informed) == len(groups) else None,
        )

    def __len__(self) -> int:
        return len(self.responses)

    @cached_property
    def lengths_B(self) -> list[int]:
        """Response tokens of each rollout."""
        return [len(ids) for ids in self.responses]

    def tokens(self, indices: Sequence[int] | None = None) -> int:
        """Response tokens of some rollouts, or of all."""
        return sum(self.lengths_B) if indices is None else sum(self.lengths_B[i] for i in indices)

    @cached_property
    def sizes_P(self) -> torch.Tensor:
        """Rollouts of each group."""
        return torch.bincount(torch.tensor(self.group_B))

    @cached_property
    def rewards_PG(self) -> torch.Tensor:
        """Rewards by group, NaN also beyond the end of a smaller group."""
        rows = list(self.rewards_B.split(self.sizes_P.tolist()))
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=float("nan"))

    def by_group(self, advantages_PG: torch.Tensor) -> Experience:
        """With the same advantage for every token of a rollout, from a table as `rewards_PG` has it."""
        real_PG = torch.arange(advantages_PG.shape[1]) < self.sizes_P[:, None]
        flat_N = advantages_PG[real_PG].repeat_interleave(torch.tensor(self.lengths_B))
        return replace(self, advantages=flat_N.split(self.lengths_B))

    def minibatches(self, count: int) -> list[list[int]]:
        """The rollouts in `count` parts of whole groups, as even as can be; fewer where there are fewer groups."""
        groups = len(self.sizes_P)
        bounds = [part * groups // count for part in range(count + 1)]
        parts = [[b for b, group in enumerate(self.group_B) if start <= group < end] for start, end in pairwise(bounds)]
        return [part for part in parts if part]


@dataclass(frozen=True)
class Totals:
    """What losses are averaged over: response tokens and sequences of the whole minibatch, not of the micro-batch."""

    tokens: int
    sequences: int


@dataclass(frozen=True)
class LossInputs:
    """One micro-batch as a loss sees it, [B, T], 0 beyond a response's end.

    `logprobs_BT` and `entropy_BT` carry gradients; nothing else does. `old_BT` is the trainer's own, detached, where
    one update is made from a batch. `mask_BT` is True on response tokens, the stop token among them.
    """

    logprobs_BT: torch.Tensor
    entropy_BT: torch.Tensor
    mask_BT: torch.Tensor
    old_BT: torch.Tensor
    advantages_BT: torch.Tensor
    totals: Totals
    reference_BT: torch.Tensor | None = None
    teacher_BT: torch.Tensor | None = None


Surrogate = tuple[torch.Tensor, dict[str, torch.Tensor]]  # what is minimised at every token [B, T], sums for metrics
Aggregate = tuple[torch.Tensor, float]  # a sum, and what it is divided by


@dataclass(frozen=True)
class LossTerms:
    """A loss to minimise, and detached sums over tokens, which the step's metrics divide by the tokens scored."""

    loss: torch.Tensor
    sums: dict[str, torch.Tensor]
