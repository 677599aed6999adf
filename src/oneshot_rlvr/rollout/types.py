"""What goes into a sampler and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from oneshot_rlvr.rollout.randomness import fold


@dataclass(frozen=True)
class Prompt:
    """Token ids to continue.

    `stream` keys this prompt's random numbers, so that its place in a batch never matters; another `attempt` at the
    same prompt draws new ones.
    """

    problem_id: str
    ids: tuple[int, ...]
    stream: int
    attempt: int = 0

    def key(self, copy: int) -> int:
        """What the random numbers of its `copy`-th rollout are keyed by."""
        return fold(self.stream, copy, self.attempt) if self.attempt else fold(self.stream, copy)


@dataclass(frozen=True)
class Rollout:
    """One response.

    `response_ids` end with what stopped it when `finish` is "stop", a stop token or the tokens of a stop string, and
    those carry loss; `text` ends before it. `logprobs` are the sampler's own, one a token, under the distribution that
    was sampled (temperature applied; renormalised after top-p and top-k); for greedy decoding, under temperature 1.
    They are empty for a response that was not sampled but written.
    """

    problem_id: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish: Literal["stop", "length"]


@dataclass(frozen=True)
class SamplingParams:
    """How to sample, in training and evaluation alike. Temperature 0 is greedy; `top_k` 0 keeps all.

    `stop_ids` and `stop_strings` end a response besides the policy's own end tokens. `markers` are special tokens that
    stay in the text where a response goes on behind them. `seed` is of the random numbers: (seed, step).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 64
    stop_ids: tuple[int, ...] = ()
    stop_strings: tuple[str, ...] = ()
    markers: tuple[int, ...] = ()
    seed: tuple[int, ...] = (0,)

    def cut(self, text: str) -> str:
        """A text up to the first stop string in it."""
        places = [place for string in self.stop_strings if (place := text.find(string)) >= 0]
        return text[: min(places)] if places else text


class Sampler(Protocol):
    """Anything that turns prompts into groups of rollouts.

    `longest` is the most tokens of prompt and response that it takes, None for what the policy takes; `costly` says
    that one is better kept for other weights than made anew. Whoever waits may set `on_tokens`: a sampler that can
    calls it with the number of tokens each time that it has drawn some.
    """

    longest: int | None
    costly: bool
    on_tokens: Callable[[int], None] | None

    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[list[Rollout]]:
        """`n` rollouts of each prompt, in the prompts' order."""
        ...

    def update(self, policy: Any) -> None:
        """Sample from these weights from now on."""
        ...
