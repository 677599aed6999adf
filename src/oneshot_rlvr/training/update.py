"""One step's optimizer updates: score, loss, backward, clip, step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from oneshot_rlvr.algorithms import Algorithm, Experience
from oneshot_rlvr.algorithms.gae import explained_variance
from oneshot_rlvr.config import Config
from oneshot_rlvr.memory import Budget, in_pieces
from oneshot_rlvr.policy.optimizer import trained_parameters
from oneshot_rlvr.training.models import CRITIC, Models
from oneshot_rlvr.training.objectives import Objective, PolicyObjective, Sums, ValueObjective
from oneshot_rlvr.training.scoring import Passes, microbatch_budget, score


def update(
    models: Models, experience: Experience, algorithm: Algorithm, config: Config, budget: Budget | None = None
) -> dict[str, float]:
    """Update the policy, and a critic if there is one, on a step's experience; returns their metrics.

    On-policy (one minibatch, one epoch) the old log-probabilities are the trainer's own, detached. Rollouts whose
    advantages are all 0 are not scored unless a unit of the algorithm needs them; they still count in denominators.
    `budget` is halved, and the minibatch done again, when memory runs out. A learner that waits is left as it is.

    Raises:
        OneshotError: a loss is not finite, raised before the optimizer's step; or memory ran out all the same.
    """
    budget = budget or microbatch_budget(config, models.policy.device)
    policy = _policy_objective(models, experience, algorithm, config, budget)
    passes, used = policy.passes, policy.used
    nothing = Sums(values=algorithm.sums_of_nothing())
    if experience.sampler is not None:
        nothing.values["sampler_gap"] = 0.0
    metrics = _minimise(policy, experience, config, nothing)
    computed = models.learner.active and _all_count(algorithm, config)  # every entropy
    if not computed and experience.sampler is not None:
        metrics["policy/entropy"] = -float(torch.cat(list(experience.sampler)).sum()) / experience.tokens()
    if models.critic is not None:
        scored = torch.nonzero(~experience.rewards_B.isnan()).flatten().tolist()
        critic = ValueObjective(models.learners[CRITIC], models.critic, passes, scored, config.critic.clip)
        metrics |= _minimise(
            critic, experience, config, Sums(values={"clip_fraction": 0.0, "value": 0.0, "return": 0.0})
        )
        metrics["critic/explained_variance"] = _explained(experience, scored)
    scored_fraction = len(used) / len(experience)
    return {**metrics, "policy/scored_fraction": scored_fraction, "batch/microbatch_tokens": budget.size}


def gradient(
    models: Models, experience: Experience, algorithm: Algorithm, config: Config, budget: Budget
) -> torch.Tensor:
    """The policy's gradient of a step's loss, flat and in float32 on the CPU; no optimizer steps.

    Raises:
        OneshotError: memory ran out.
    """
    policy = _policy_objective(models, experience, algorithm, config, budget)
    in_pieces(budget, partial(policy.accumulate, range(len(experience))))
    parameters = trained_parameters(models.learner.optimizer)
    rows = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return torch.cat([row.flatten().float().cpu() for row in rows])


def _policy_objective(
    models: Models, experience: Experience, algorithm: Algorithm, config: Config, budget: Budget
) -> PolicyObjective:
    """What the policy minimises, every score there that its loss needs."""
    used = carrying_loss(experience, algorithm, config)
    needs = algorithm.needs | ({"old"} if _old_is_needed(config) else set())
    passes = Passes(experience, config, budget)
    passes = replace(passes, experience=score(models, passes, needs, used))
    return PolicyObjective(models.learner, models.policy, passes, used, algorithm)


def _minimise(objective: Objective, experience: Experience, config: Config, totals: Sums) -> dict[str, float]:
    """All of a step's optimizer steps of one learner; its metrics, added to `totals`."""
    learner, norms, losses = objective.learner, [], []
    name = learner.name
    if not learner.active:  # of what it did not compute there is no metric
        return {f"{name}/loss": 0.0, f"{name}/grad_norm": 0.0}
    for _ in range(config.batch.epochs):
        for part in experience.minibatches(config.batch.minibatches):
            sums = in_pieces(objective.passes.budget, partial(objective.accumulate, part))
            norms.append(learner.step(sums.loss))
            losses.append(sums.loss)
            totals.merge(sums)
    means = {f"{name}/loss": sum(losses) / len(losses), f"{name}/grad_norm": sum(norms) / len(norms)}
    return totals.means(name) | means


def _explained(experience: Experience, scored: Sequence[int]) -> float:
    assert experience.values is not None
    assert experience.returns is not None
    if not scored:
        return 0.0
    values_N, returns_N = (
        torch.cat([rows[i].double().cpu() for i in scored]) for rows in (experience.values, experience.returns)
    )
    return explained_variance(values_N, returns_N)


def carrying_loss(experience: Experience, algorithm: Algorithm, config: Config) -> list[int]:
    """The rollouts that the loss looks at."""
    if _all_count(algorithm, config):
        return list(range(len(experience)))
    assert experience.advantages is not None
    moved = (torch.cat(list(experience.advantages)) != 0).cpu().numpy()
    starts = np.cumsum([0, *experience.lengths_B[:-1]])
    return np.flatnonzero(np.logical_or.reduceat(moved, starts)).tolist()


def _all_count(algorithm: Algorithm, config: Config) -> bool:
    """Whether rollouts whose advantages are all 0 are scored."""
    return "zero_advantage" in algorithm.needs or not config.speed.skip_zero_advantage


def _old_is_needed(config: Config) -> bool:
    """Whether the policy moves away from the one that sampled before a batch is done with."""
    return config.batch.minibatches > 1 or config.batch.epochs > 1 or not config.speed.reuse_logprobs
