"""What goes into a sampler and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Prompt:
    """Token ids to continue. `stream` keys this prompt's random numbers, so that its place in a batch never matters."""

    problem_id: str
    ids: tuple[int, ...]
    stream: int


@dataclass(frozen=True)
class Rollout:
    """One sampled response.

    `response_ids` end with the stop token when `finish` is "stop", and that token carries loss. `logprobs` are the
    sampler's own, one a token, under the distribution that was sampled (temperature applied; renormalised after top-p
    and top-k); for greedy decoding, under temperature 1.
    """

    problem_id: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish: Literal["stop", "length"]


@dataclass(frozen=True)
class SamplingParams:
    """How to sample. Temperature 0 is greedy; `top_k` 0 keeps all. `key` seeds the random numbers: (seed, step)."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 64
    key: tuple[int, ...] = (0,)


class Sampler(Protocol):
    """Anything that turns prompts into groups of rollouts."""

    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[list[Rollout]]:
        """`n` rollouts of each prompt, in the prompts' order."""
        ...

    def update(self, policy: Any) -> None:
        """Sample from these weights from now on."""
        ...
