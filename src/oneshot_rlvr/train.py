"""The training loop: sample -> grade -> advantage -> loss -> step -> log -> checkpoint.

A step is a function of (configuration, seed, step): random numbers are keyed, the problems of a step are computed from
its number, and grades are written before the update that uses them. So a resumed run repeats an uninterrupted one bit
for bit on the same machine, versions and threads.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import numpy as np
import torch

from oneshot_rlvr.algorithms import ADVANTAGES
from oneshot_rlvr.batching import StepBatch
from oneshot_rlvr.checkpoint import load_checkpoint, save_checkpoint
from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import Grade, Grader, get_reward
from oneshot_rlvr.loggers import Target, check_loggers, open_loggers
from oneshot_rlvr.memory import Budget, peak_gib
from oneshot_rlvr.policy import Policy, learning_rate_factor, load_policy, make_optimizer
from oneshot_rlvr.policy.lora import add_adapters
from oneshot_rlvr.policy.model import model_folder
from oneshot_rlvr.problems import Problem, encode_prompt, get_template
from oneshot_rlvr.rollout import LockstepSampler, Prompt, Rollout, Sampler, SamplingParams
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.rundir import RunDir
from oneshot_rlvr.telemetry import as_response, rollout_metrics, rollout_rows
from oneshot_rlvr.update import microbatch_budget, update

Metrics = dict[str, float]
Validate = Callable[[Policy, int], Metrics]


class Interrupted(Exception):  # noqa: N818 - it is not an error
    """The run was stopped by Ctrl-C or SIGTERM after a checkpoint; it can be resumed."""


@dataclass
class Trainer:
    """What the loop works with. Build it with `prepare`."""

    config: Config
    run: RunDir
    policy: Policy
    optimizer: torch.optim.AdamW
    reference: Policy | None
    problems: list[Problem]
    prompts: list[tuple[int, ...]]
    grader: Grader
    sampler: Sampler
    budget: Budget
    done: int


def prepare(config: Config, run: RunDir, problems: Sequence[Problem], sampler: Sampler | None = None) -> Trainer:
    """Load everything a run needs, from its newest checkpoint if it has one.

    Raises:
        OneshotError: a model, problem or checkpoint that cannot be used; nothing has been trained then.
    """
    check_loggers(config.run.loggers)
    grader = make_grader(config)
    done = run.resumable_step()
    if done:
        policy, optimizer = load_checkpoint(run, done, config)
    else:
        policy = load_policy(config.model, config.speed.shared_prefix)
        if config.model.lora_rank:
            add_adapters(policy.model, config.model, config.run.seed)
        optimizer = make_optimizer(policy.model, config.optimizer)
    for problem in problems:
        if not grader.scorable(problem):
            raise OneshotError(
                f"the gold {problem.answer!r} cannot be scored",
                where=f"problem {problem.id}",
                fix="Mend it or leave it out.",
            )
    return Trainer(
        config=config,
        run=run,
        policy=policy,
        optimizer=optimizer,
        reference=load_policy(config.model, config.speed.shared_prefix) if config.algorithm.kl_coefficient else None,
        problems=list(problems),
        prompts=encode_prompts(policy, problems, config),
        grader=grader,
        sampler=sampler or make_sampler(config, policy),
        budget=microbatch_budget(config, policy.device),
        done=done,
    )


def make_sampler(config: Config, policy: Policy) -> Sampler:
    """The run's sampler.

    Raises:
        OneshotError: vLLM is asked for and not installed.
    """
    sampling = config.sampling
    if sampling.sampler == "vllm":
        from oneshot_rlvr.rollout.vllm_sampler import VllmSampler

        longest = sampling.max_prompt_tokens + sampling.max_new_tokens
        return VllmSampler(policy, model_folder(config.model.path), longest, sampling.vllm_memory)
    speed = config.speed
    return LockstepSampler(
        policy, sampling.kv_cache_gib, speed.share_histories, speed.compaction, graphs=speed.cuda_graphs
    )


def make_grader(config: Config) -> Grader:
    """The run's grader: its template, reward and mode.

    Raises:
        OneshotError: no such template, reward or mode.
    """
    reward = get_reward(config.algorithm.reward, seed=config.run.seed, max_tokens=config.sampling.max_new_tokens)
    grading = config.grading
    return Grader(
        get_template(config.model.template),
        reward,
        mode=grading.mode,
        timeout=grading.timeout,
        workers=grading.workers,
        once=config.speed.grade_once,
    )


def encode_prompts(policy: Policy, problems: Sequence[Problem], config: Config) -> list[tuple[int, ...]]:
    """Every problem's prompt as token ids.

    Raises:
        OneshotError: a prompt is longer than configured, or leaves no room for a response in the model.
    """
    template, sampling, prompts = get_template(config.model.template), config.sampling, []
    for problem in problems:
        ids = tuple(encode_prompt(template, problem.question, policy.tokenizer))
        where = f"problem {problem.id} of {problem.source}"
        if len(ids) > sampling.max_prompt_tokens:
            raise OneshotError(
                f"its prompt has {len(ids)} tokens, more than sampling.max_prompt_tokens={sampling.max_prompt_tokens}",
                where=where,
                fix="Raise the limit, or leave the problem out.",
            )
        limit = policy.longest
        if limit is not None and len(ids) + sampling.max_new_tokens > limit:
            raise OneshotError(
                f"a prompt of {len(ids)} tokens and {sampling.max_new_tokens} new ones exceed the model's {limit}",
                where=where,
                fix="Lower sampling.max_new_tokens, or shorten the problem.",
            )
        prompts.append(ids)
    return prompts


def train(
    trainer: Trainer, validate: Validate | None = None, on_step: Callable[[int, int, Metrics], None] | None = None
) -> None:
    """Run the loop to the configured number of steps; `on_step(step, steps, metrics)` reports progress.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM, once the step is finished and saved.
        OneshotError: the loss is not finite, or the disk is full.
    """
    config, run, steps = trainer.config, trainer.run, trainer.config.run.steps
    run.cut_after(trainer.done)
    target = Target(run.path, run.path.name, str(run.path.resolve()), config.model_dump(mode="json"), trainer.done)
    with trainer.grader, open_loggers(config.run.loggers, target) as log, stop_requested() as stopping:
        for step in range(trainer.done + 1, steps + 1):
            started = time.perf_counter()
            problems_P, rollouts_PG = sample_step(trainer, step)
            sampled = time.perf_counter()
            grades_PG, rewards_PG = grade_step(trainer.grader, problems_P, rollouts_PG)
            advantages_PG = ADVANTAGES[config.algorithm.advantage](rewards_PG)
            run.write_rollouts(step, rollout_rows(problems_P, rollouts_PG, grades_PG, advantages_PG))
            graded = time.perf_counter()

            rate = config.optimizer.learning_rate * learning_rate_factor(config.optimizer, step - 1, steps)
            for group in trainer.optimizer.param_groups:
                group["lr"] = rate
            batch = StepBatch.of(rollouts_PG, advantages_PG)
            policy_metrics = update(trainer.policy, trainer.optimizer, batch, config, trainer.budget, trainer.reference)
            trainer.sampler.update(trainer.policy)
            updated = time.perf_counter()

            metrics = {
                **rollout_metrics(rollouts_PG, grades_PG, rewards_PG),
                **policy_metrics,
                "optimizer/learning_rate": rate,
                "time/sample_s": sampled - started,
                "time/grade_s": graded - sampled,
                "time/update_s": updated - graded,
                "memory/peak_gib": peak_gib(trainer.policy.device),
                "tokens/per_second": batch.tokens(range(len(batch.rows))) / (updated - started),
            }
            every = config.run.validate_every
            if validate is not None and every and (step % every == 0 or step == steps):
                metrics |= validate(trainer.policy, step)
            run.append_metrics({"step": step, **metrics})
            log(step, metrics)
            if on_step is not None:
                on_step(step, steps, metrics)
            stop = stopping()
            if step % config.run.save_every == 0 or step == steps or stop:
                save_checkpoint(run, step, trainer.policy, trainer.optimizer, config.run.keep_trainer_states)
            if stop and step < steps:
                raise Interrupted(
                    f"stopped after step {step} of {steps}; go on with: oneshot train --resume {run.path}"
                )


def problems_of_step(count: int, groups: int, step: int, seed: int) -> list[int]:
    """Which problems step `step` (from 1) trains on: each epoch is a new order of all `count`, from the seed."""
    places = range((step - 1) * groups, step * groups)
    orders = {
        epoch: np.random.default_rng(fold(seed, "epoch", epoch)).permutation(count)
        for epoch in {p // count for p in places}
    }
    return [int(orders[place // count][place % count]) for place in places]


def sample_step(trainer: Trainer, step: int) -> tuple[list[Problem], list[list[Rollout]]]:
    """A step's problems, one a group, and their rollouts."""
    config = trainer.config
    chosen = problems_of_step(len(trainer.problems), config.batch.groups_per_step, step, config.run.seed)
    problems_P = [trainer.problems[i] for i in chosen]
    prompts = [Prompt(trainer.problems[i].id, trainer.prompts[i], stream=group) for group, i in enumerate(chosen)]
    params = SamplingParams(
        temperature=config.sampling.temperature,
        max_new_tokens=config.sampling.max_new_tokens,
        key=(config.run.seed, step),
    )
    return problems_P, trainer.sampler.sample(prompts, config.batch.group_size, params)


def grade_step(
    grader: Grader, problems_P: Sequence[Problem], rollouts_PG: Sequence[Sequence[Rollout]]
) -> tuple[list[list[Grade]], torch.Tensor]:
    """Grades of a step's groups, and their rewards [P, G] with NaN for unscorable."""
    grades_PG = [
        grader.grade(problem, [as_response(rollout) for rollout in group])
        for problem, group in zip(problems_P, rollouts_PG, strict=True)
    ]
    rewards = [[float("nan") if grade.reward is None else grade.reward for grade in group] for group in grades_PG]
    return grades_PG, torch.tensor(rewards, dtype=torch.float64)


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came; the second Ctrl-C acts at once. Off the main thread signals are left alone."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
