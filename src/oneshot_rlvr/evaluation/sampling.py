"""Sample problems under a protocol: rows of responses, not yet graded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.protocols import Sampling
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.problems import Problem, Template, encode_prompt
from oneshot_rlvr.rollout import Prompt, Rollout, Sampler
from oneshot_rlvr.rollout.randomness import fold

Row = dict[str, Any]


def sample_problems(
    sampler: Sampler, policy: Policy, problems: Sequence[Problem], template: Template, sampling: Sampling
) -> list[Row]:
    """A row a problem: its samples and its greedy response, ungraded.

    A prompt that leaves less than `max_new_tokens` in the model's length gets what it leaves, which its row says as
    `room`; one that leaves nothing gets no response.
    """
    prompts = [
        Prompt(
            problem.id,
            tuple(encode_prompt(template, problem.question, policy.tokenizer)),
            fold(problem.id, problem.question),
        )
        for problem in problems
    ]
    turn_end, most = template.stop_ids(policy.tokenizer), sampling.max_new_tokens
    limits = [limit for limit in (policy.longest, sampler.longest) if limit is not None]
    room = [min(most, *(limit - len(prompt.ids) for limit in limits)) if limits else most for prompt in prompts]
    samples: dict[int, list[Row]] = {}
    firsts: dict[int, list[Row]] = {}
    for tokens in sorted({size for size in room if size > 0}, reverse=True):
        fit = [prompt for prompt, size in zip(prompts, room, strict=True) if size == tokens]
        one = replace(sampling, max_new_tokens=tokens)
        samples |= _by_stream(fit, sampler.sample(fit, sampling.samples, one.params(turn_end)))
        if sampling.greedy:
            firsts |= _by_stream(fit, sampler.sample(fit, 1, one.greedy_params(turn_end)))
    return [
        {
            "problem_id": prompt.problem_id,
            "samples": samples.get(prompt.stream, []),
            "greedy": firsts.get(prompt.stream, []),
            **({"room": max(size, 0)} if size < most else {}),
        }
        for prompt, size in zip(prompts, room, strict=True)
    ]


def refuse_too_long(policy: Policy, problems: Sequence[Problem], template: Template, max_new_tokens: int) -> None:
    """Raises:
    OneshotError: no prompt at all leaves room for a response.
    """
    if policy.longest is None:
        return
    shortest = min(len(encode_prompt(template, problem.question, policy.tokenizer)) for problem in problems)
    if shortest + max_new_tokens > policy.longest:
        raise OneshotError(
            f"{max_new_tokens} new tokens leave no room for any prompt in the model's {policy.longest}",
            where=problems[0].source,
            fix=f"Pass --max-new-tokens {max(policy.longest - shortest, 1)} or less.",
        )


def _by_stream(prompts: Sequence[Prompt], rollouts: Sequence[Sequence[Rollout]]) -> dict[int, list[Row]]:
    return {
        prompt.stream: [{"text": r.text, "finish": r.finish, "tokens": len(r.response_ids)} for r in group]
        for prompt, group in zip(prompts, rollouts, strict=True)
    }
