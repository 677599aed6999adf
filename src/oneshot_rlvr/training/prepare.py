"""Everything that a run works with, loaded and checked before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oneshot_rlvr.algorithms import Algorithm
from oneshot_rlvr.config import Config, Unit
from oneshot_rlvr.errors import NotFinite, OneshotError, nearest
from oneshot_rlvr.grading import Grader, Reward, get_reward
from oneshot_rlvr.grading.pool import standing_pool
from oneshot_rlvr.memory import Budget
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.problems import Problem, get_template
from oneshot_rlvr.rollout import Sampler, make_sampler
from oneshot_rlvr.runs import STOPPED, Run
from oneshot_rlvr.runs.loggers import check_loggers
from oneshot_rlvr.training.checkpoint import load_models, restore_kl, restore_learner
from oneshot_rlvr.training.collectors import COLLECTORS
from oneshot_rlvr.training.groups import Group
from oneshot_rlvr.training.models import Models, load_frozen, new_models
from oneshot_rlvr.training.scoring import microbatch_budget
from oneshot_rlvr.training.source import Source

Metrics = dict[str, float]
Validate = Callable[[Policy, Sampler, int], Metrics]


@dataclass
class Trainer:
    """What the loop works with. Build it with `prepare`."""

    config: Config
    run: Run
    models: Models
    algorithm: Algorithm
    collector: Unit
    source: Source
    budget: Budget
    done: int

    def collect(self, step: int) -> list[Group]:
        """A step's groups.

        Raises:
            OneshotError: the user's collector returned something else, or nothing.
        """
        self.source.begin()
        groups = self.collector(self.source, step)
        if not isinstance(groups, list) or not groups or not all(isinstance(g, Group) and g.rollouts for g in groups):
            raise OneshotError(
                "it did not return a list of groups with rollouts",
                where=f"{self.collector.where} {self.collector.name}",
                fix="Return what source.groups(...) gives.",
            )
        return groups

    def stopped(self, metrics: Metrics) -> Metrics:
        """What `run.stop_when` says of a step: `run/stopped` is 1 where it is the last, and absent without it.

        Raises:
            OneshotError: there is no such metric.
        """
        if self.config.run.stop_when is None:
            return {}
        name, bound = self.config.run.stop_when.split(" < ")
        if name not in metrics:
            raise OneshotError(f"no metric {name!r}", where="run.stop_when", fix=nearest(name, list(metrics)))
        return {STOPPED: float(metrics[name] < float(bound))}

    def diverged(self, step: int, error: NotFinite) -> OneshotError:
        """What a user is told of a loss or gradient that is not finite: where, and what to go back to. Recorded."""
        self.run.note_divergence(step, str(error))
        saved = self.run.steps()
        good = (
            f"The last good checkpoint is {self.run.checkpoint_path(saved[-1])}" if saved else "No checkpoint is saved"
        )
        return OneshotError(
            str(error), where=f"step {step}", fix=f"{good}; lower optimizer.learning_rate, or look at its rollouts."
        )


def prepare(
    config: Config,
    run: Run,
    problems: Sequence[Problem],
    sampler: Sampler | None = None,
    reward: Reward | None = None,
) -> Trainer:
    """Load everything a run needs, from its newest checkpoint if it has one.

    `sampler` and `reward` stand in for the configured ones.

    Raises:
        OneshotError: a unit, model, problem or checkpoint that cannot be used; nothing has been trained then.
    """
    check_loggers(config.run.loggers)
    algorithm = Algorithm.of(config.algorithm, config.sampling.max_new_tokens)
    collector = COLLECTORS.unit(config.algorithm.collector)
    grader = make_grader(config, reward)
    done = run.resumable_step()
    models = load_models(run, done, config) if done else new_models(config)
    for problem in problems:
        if not grader.scorable(problem):
            raise OneshotError(
                f"the gold {problem.answer!r} cannot be scored",
                where=f"problem {problem.id}",
                fix="Mend it or leave it out.",
            )
    models.kl = algorithm.advantage.trait("kl_control") or models.kl
    if done:
        restore_kl(run, done, models.kl)
    models.frozen |= load_frozen(config, algorithm.needs, models.policy)
    if "values" in algorithm.needs:
        critic = models.add_critic(config)
        if done:
            restore_learner(run, done, critic)
    sampler = sampler or make_sampler(models.policy, config)
    source = Source(config, problems, models.policy, grader, sampler, "informed" in algorithm.needs)
    if check := getattr(collector.function, "check", None):
        check(source, **collector.options)
    return Trainer(
        config=config,
        run=run,
        models=models,
        algorithm=algorithm,
        collector=collector,
        source=source,
        budget=microbatch_budget(config, models.policy.device),
        done=done,
    )


def make_grader(config: Config, reward: Reward | None = None) -> Grader:
    """The run's grader: its template, reward and mode.

    Raises:
        OneshotError: no such template, reward or mode.
    """
    defaults = {"seed": config.run.seed, "max_tokens": config.sampling.max_new_tokens}
    grading = config.grading
    return Grader(
        get_template(config.model.template),
        reward or get_reward(config.algorithm.reward, **defaults),
        mode=grading.mode,
        workers=standing_pool(grading.timeout, grading.workers),
        once=config.speed.grade_once,
    )
