"""The training loop: collect -> score -> advantages -> update -> record.

A step is a function of (configuration, seed, step): random numbers are keyed, the problems of a step are computed from
its number, and grades are written before the update that uses them. So a resumed run repeats an uninterrupted one bit
for bit on the same machine, versions and threads. Which algorithm runs is nowhere asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from oneshot_rlvr.algorithms import Experience
from oneshot_rlvr.errors import Interrupted, NotFinite
from oneshot_rlvr.memory import peak_gib
from oneshot_rlvr.runs import STOPPED
from oneshot_rlvr.runs.loggers import Target, open_loggers
from oneshot_rlvr.training.checkpoint import save_checkpoint
from oneshot_rlvr.training.groups import Group
from oneshot_rlvr.training.prepare import Metrics, Trainer, Validate
from oneshot_rlvr.training.scoring import Passes, score
from oneshot_rlvr.training.signals import stop_requested
from oneshot_rlvr.training.telemetry import group_metrics, rollout_rows
from oneshot_rlvr.training.update import update

OnStep = Callable[[int, int, Metrics], None]


def train(trainer: Trainer, validate: Validate | None = None, on_step: OnStep | None = None) -> None:
    """Run the loop to the configured number of steps, or until `run.stop_when`.

    `on_step(step, steps, metrics)` reports progress; `validate(policy, sampler, step)` gives further metrics, every
    `run.validate_every` steps and at the end.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM, once the step is finished and saved.
        OneshotError: a loss or gradient is not finite, or the disk is full.
    """
    config, run, steps = trainer.config, trainer.run, trainer.config.run.steps
    run.cut_after(trainer.done)
    if run.stopped:
        return
    target = Target(run.path, run.path.name, str(run.path.resolve()), config.model_dump(mode="json"), trainer.done)
    with trainer.source.grader, open_loggers(config.run.loggers, target) as log, stop_requested() as stopping:
        for step in range(trainer.done + 1, steps + 1):
            try:
                metrics = train_step(trainer, step)
            except NotFinite as error:
                raise trainer.diverged(step, error) from error
            metrics |= trainer.stopped(metrics)
            last = step == steps or bool(metrics.get(STOPPED))
            every = config.run.validate_every
            if validate is not None and every and (step % every == 0 or last):
                metrics |= validate(trainer.models.policy, trainer.source.sampler, step)
            run.append_metrics({"step": step, **metrics})
            log(step, metrics)
            if on_step is not None:
                on_step(step, steps, metrics)
            stop = stopping()
            if step % config.run.save_every == 0 or last or stop:
                save_checkpoint(run, step, trainer.models, config.run.keep_trainer_states)
            if last:
                break
            if stop:
                raise Interrupted(
                    f"stopped after step {step} of {steps}; go on with: oneshot train --resume {run.path}"
                )


def experienced(trainer: Trainer, groups: Sequence[Group]) -> Experience:
    """Graded groups as what an update is made of: scored by models, and with an advantage for every token."""
    models, algorithm = trainer.models, trainer.algorithm
    experience = replace(Experience.of(groups), kl_coefficient=models.kl.coefficient)
    passes = Passes(experience, trainer.config, trainer.budget)
    return algorithm.advantages(score(models, passes, algorithm.advantage_needs))


def train_step(trainer: Trainer, step: int) -> Metrics:
    """One step, from problems to new weights; returns its metrics."""
    config, models, source, algorithm = trainer.config, trainer.models, trainer.source, trainer.algorithm
    started = time.perf_counter()
    groups = trainer.collect(step)
    collected = time.perf_counter()
    experience = experienced(trainer, groups)
    steered = models.kl.update(experience)
    weighed = time.perf_counter()
    trainer.run.write_rollouts(step, rollout_rows(groups, experience))
    written = time.perf_counter()
    rates = models.begin(step - 1, config.run.steps)
    updated_metrics = update(models, experience, algorithm, config, trainer.budget)
    source.sampler.update(models.policy)
    updated = time.perf_counter()
    rolled = group_metrics(groups, experience, source.sampled)
    return {
        **rolled,
        **updated_metrics,
        **steered,
        **rates,
        "time/sample_s": source.seconds["sample"],
        "time/grade_s": source.seconds["grade"] + written - weighed,
        "time/update_s": updated - written + weighed - collected,
        "memory/peak_gib": peak_gib(models.policy.device),
        "tokens/per_second": (rolled["tokens/sampled"] or experience.tokens()) / (updated - started),
    }
