"""How a problem becomes a response on verl: our prompts and end tokens, and GHPO's hints.

verl runs one loop for each rollout, those of a group in one process, so that a group can agree on its next attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import lru_cache
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from transformers import AutoConfig, GenerationConfig
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopOutput

from oneshot_rlvr.cluster.inside import run
from oneshot_rlvr.cluster.inside.attempts import Attempt
from oneshot_rlvr.cluster.inside.reward import graded, grader_of
from oneshot_rlvr.grading import Response
from oneshot_rlvr.problems import Problem, encode_prompt, get_template
from oneshot_rlvr.rollout import SamplingParams
from oneshot_rlvr.rollout.randomness import fold

_ATTEMPTS: WeakValueDictionary[tuple[str, int], Attempt] = WeakValueDictionary()


class OneshotLoop(AgentLoopBase):
    """One response, asked by our template; asked again with more of the solution while the whole group fails."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = run.config()
        self.template = get_template(self.settings.model.template)
        self.ends = _end_ids(self.config.actor_rollout_ref.model.path, self.tokenizer)

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """verl's call for one rollout of a group."""
        info, copy = kwargs["extra_info"], int(kwargs["session_id"])
        split, training = str(info["split"]), info["split"] == "train"
        asked = run.asked(split)[int(info["index"])]
        cold = _cold_start(self.settings.algorithm.collector) if training else 0
        said = {"place": int(info["place"]), "copy": copy, "hint": 0.0}
        said["step"] = int(info["step"]) if training else int(kwargs["global_steps"])
        stream = said["place"] if training else fold(asked.problem.id, asked.problem.question)
        seed = [self.settings.run.seed, said["step"]] if training else [0]
        keys = {"seed": seed, "stream": stream, "copy": copy}  # as the local loop and its validation have them
        output = found = None
        for attempt, (question, ratio) in enumerate(zip(asked.questions, asked.ratios, strict=True)):
            if attempt and training and said["step"] <= cold:
                break
            given = ratio if question != asked.questions[0] else 0.0
            params = self._params(sampling_params, keys | {"attempt": attempt})
            group = self._group(kwargs["uid"], attempt)
            try:
                output, found = await self._sampled(question, params, said | {"hint": given, "attempt": attempt})
            except BaseException as error:
                group.fail(error)
                raise
            last = attempt + 1 == len(asked.questions)
            if last or not training or not await self._all_failed(group, asked.problem, found, copy):
                break
        assert output is not None and found is not None
        output.extra_fields["oneshot"] = found
        return output

    def _params(self, sampling_params: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
        """What vLLM is asked for; our own sampler gets the keys of its random numbers too."""
        params = sampling_params | {"max_tokens": self.rollout_config.response_length, "stop_token_ids": self.ends}
        if strings := list(self.settings.sampling.stop_strings):
            params |= {"stop": strings, "include_stop_str_in_output": True}
        return params | ({"keys": keys} if self.rollout_config.name == "oneshot" else {})

    async def _sampled(
        self, question: str, params: dict[str, Any], said: dict[str, Any]
    ) -> tuple[AgentLoopOutput, dict[str, Any]]:
        prompt_ids = encode_prompt(self.template, question, self.tokenizer)
        found = await self.server_manager.generate(
            request_id=uuid4().hex, prompt_ids=prompt_ids, sampling_params=params
        )
        ids = list(found.token_ids)[: self.rollout_config.response_length]
        logprobs = list(found.log_probs or [])[: len(ids)]
        stopped = bool(ids) and ids[-1] in self.ends
        text = self.tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=True)
        cut = SamplingParams(stop_strings=self.settings.sampling.stop_strings).cut(text)
        said |= {
            "text": cut,
            "finish": "stop" if stopped or cut != text else "length",
            "tokens": len(ids),
            "logprob": round(sum(logprobs), 4) if logprobs else None,
        }
        output = AgentLoopOutput(
            prompt_ids=prompt_ids,
            response_ids=ids,
            response_mask=[1] * len(ids),
            response_logprobs=logprobs or None,
            num_turns=2,
            metrics={},
            extra_fields=dict(found.extra_fields) | {"turn_scores": [], "tool_rewards": []},
        )
        return output, said

    def _group(self, uid: str, attempt: int) -> Attempt:
        """What this rollout's group has said of an attempt; it lives as long as a rollout holds it."""
        found = _ATTEMPTS.get((uid, attempt))
        if found is None:
            found = _ATTEMPTS[uid, attempt] = Attempt(self.rollout_config.n)
        return found

    async def _all_failed(self, group: Attempt, problem: Problem, said: dict[str, Any], copy: int) -> bool:
        """Whether no rollout of the group was right at this attempt."""
        response = Response(said["text"], said["finish"], said["tokens"])

        async def right() -> bool:
            grade = await asyncio.to_thread(graded, grader_of(run.folder()), problem, response, copy)
            return grade.outcome == "correct"

        return await group.failed(right())


def _cold_start(collector: str) -> int:
    from oneshot_rlvr.training import COLLECTORS

    return COLLECTORS.unit(collector).options.get("cold_start", 0)


@lru_cache(maxsize=1)
def _end_ids(path: str, tokenizer: Any) -> list[int]:
    """Every token that ends a response, as `oneshot train` has them."""
    own, model = run.config().sampling, run.config().model
    config = AutoConfig.from_pretrained(path, trust_remote_code=model.trust_remote_code)
    named = [tokenizer.eos_token_id, getattr(config, "eos_token_id", None)]
    with contextlib.suppress(OSError):  # a model folder need not have one
        named.append(GenerationConfig.from_pretrained(path).eos_token_id)
    turn = get_template(model.template).stop_ids(tokenizer) if own.stop_at_turn_end else ()
    found = {*own.stop_ids, *turn}
    for value in named:
        found |= set(value) if isinstance(value, list) else {value}
    return sorted(token for token in found if token is not None)
