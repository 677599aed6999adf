"""A sampler that says what it is told: for tests of everything that comes after sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from oneshot_rlvr.rollout.types import Prompt, Rollout, SamplingParams


class ScriptedSampler:
    """`script(prompt, copy)` gives the text of each response; an end token follows unless `max_new_tokens` is full."""

    longest: int | None = None
    costly = False
    on_tokens: Callable[[int], None] | None = None

    def __init__(self, tokenizer: Any, script: Callable[[Prompt, int], str], logprob: float = -1.0) -> None:
        self.tokenizer = tokenizer
        self.script = script
        self.logprob = logprob
        self.updates = 0

    def update(self, policy: Any) -> None:
        """Count that new weights were offered."""
        self.updates += 1

    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[list[Rollout]]:
        """The scripted responses, cut at `max_new_tokens`."""
        return [[self._rollout(prompt, copy, params) for copy in range(n)] for prompt in prompts]

    def _rollout(self, prompt: Prompt, copy: int, params: SamplingParams) -> Rollout:
        text = self.script(prompt, copy)
        whole = [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]
        ids = tuple(whole[: params.max_new_tokens])
        stopped = len(ids) == len(whole)
        shown = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return Rollout(
            prompt.problem_id, prompt.ids, ids, (self.logprob,) * len(ids), shown, "stop" if stopped else "length"
        )
