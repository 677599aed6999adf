"""What collectors draw from: a step's problems, prompts made of them, sampled and graded groups."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.problems import Problem, encode_prompt, get_template, informed
from oneshot_rlvr.rollout import Prompt, Rollout, Sampler, SamplingParams
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.training.groups import Group


class Source:
    """A run's problems, sampler and grader, as a collector uses them.

    Everything it gives is a function of (configuration, seed, step, attempt). `seconds` and `sampled` are what a
    step has taken, groups that its collector leaves out among it; `begin` sets them back.

    `informs`: groups come with the prompt that shows the solution.

    Raises:
        OneshotError: a problem's prompt is too long, or there is no solution to show.
    """

    def __init__(
        self,
        config: Config,
        problems: Sequence[Problem],
        policy: Policy,
        grader: Grader,
        sampler: Sampler,
        informs: bool = False,
    ) -> None:
        self.config, self.problems = config, list(problems)
        self.tokenizer, self.longest = policy.tokenizer, policy.longest
        self.grader, self.sampler, self.informs = grader, sampler, informs
        self.template = get_template(config.model.template)
        end = policy.tokenizer.eos_token_id
        self.end_id: int = policy.stop_ids[0] if end is None else end
        self.turn_end = self.template.stop_ids(policy.tokenizer)
        own = config.sampling
        self.stop_ids = (*own.stop_ids, *(self.turn_end if own.stop_at_turn_end else ()))
        self._ids: dict[str, tuple[int, ...]] = {}
        self.begin()
        for problem in problems:
            self.encode(problem)
            if informs:
                self.encode(informed(problem))

    def begin(self) -> None:
        """A new step: nothing has been sampled for it."""
        self.seconds = {"sample": 0.0, "grade": 0.0}
        self.sampled: list[Group] = []

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - started

    def problems_of(self, step: int, attempt: int = 0) -> list[Problem]:
        """The problems of a step (from 1), one for each of its groups; another `attempt` takes others."""
        batch, seed = self.config.batch, self.config.run.seed
        chosen = problems_of_step(len(self.problems), batch.groups_per_step, step, seed, attempt)
        return [self.problems[i] for i in chosen]

    def encode(self, problem: Problem) -> tuple[int, ...]:
        """A problem's prompt as token ids.

        Raises:
            OneshotError: it is longer than configured, or leaves no room for a response in the model.
        """
        if problem.question in self._ids:
            return self._ids[problem.question]
        ids, sampling = tuple(encode_prompt(self.template, problem.question, self.tokenizer)), self.config.sampling
        where = f"problem {problem.id} of {problem.source}"
        if len(ids) > sampling.max_prompt_tokens:
            raise OneshotError(
                f"its prompt has {len(ids)} tokens, more than sampling.max_prompt_tokens={sampling.max_prompt_tokens}",
                where=where,
                fix="Raise the limit, or leave the problem out.",
            )
        if self.longest is not None and len(ids) + sampling.max_new_tokens > self.longest:
            raise OneshotError(
                f"a prompt of {len(ids)} tokens and {sampling.max_new_tokens} new ones "
                f"exceed the model's {self.longest}",
                where=where,
                fix="Lower sampling.max_new_tokens, or shorten the problem.",
            )
        self._ids[problem.question] = ids
        return ids

    def groups(
        self, step: int, problems: Sequence[Problem], attempt: int = 0, streams: Sequence[int] | None = None
    ) -> list[Group]:
        """Sample and grade a group for each problem, in order.

        `attempt` and `streams` (by default 0, 1, ...) key the random numbers: the same again gives the same rollouts.
        """
        config = self.config
        keys = range(len(problems)) if streams is None else streams
        prompts = [
            Prompt(problem.id, self.encode(problem), stream, attempt)
            for problem, stream in zip(problems, keys, strict=True)
        ]
        params = SamplingParams(
            temperature=config.sampling.temperature,
            max_new_tokens=config.sampling.max_new_tokens,
            stop_ids=self.stop_ids,
            stop_strings=config.sampling.stop_strings,
            markers=self.turn_end,
            seed=(config.run.seed, step),
        )
        with self._timed("sample"):
            rollouts_PG = self.sampler.sample(prompts, config.batch.group_size, params)
        found = [
            self.group(problem, rollouts, fold(config.run.seed, step, prompt.stream, attempt))
            for problem, prompt, rollouts in zip(problems, prompts, rollouts_PG, strict=True)
        ]
        self.sampled += found
        return found

    def group(self, problem: Problem, rollouts: Sequence[Rollout], key: int = 0) -> Group:
        """Rollouts of a problem, graded; `key` is the group's own number, of which theirs are made."""
        shown = self.encode(informed(problem)) if self.informs else None
        responses = [
            Response(r.text, r.finish, len(r.response_ids), key=fold(key, place)) for place, r in enumerate(rollouts)
        ]
        with self._timed("grade"):
            grades = self.grader.grade(problem, responses)
        return Group(problem, rollouts, grades, informed_ids=shown)


def problems_of_step(count: int, groups: int, step: int, seed: int, attempt: int = 0) -> list[int]:
    """Which problems step `step` (from 1) trains on: each epoch is a new order of all `count`, from the seed."""
    places = range((step - 1) * groups, step * groups)
    again = (attempt,) if attempt else ()
    orders = {
        epoch: np.random.default_rng(fold(seed, "epoch", epoch, *again)).permutation(count)
        for epoch in {p // count for p in places}
    }
    return [int(orders[place // count][place % count]) for place in places]
