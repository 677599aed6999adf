"""The models of a run: learners, which are trained, and frozen ones, which are compared with."""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass, field

import torch

from oneshot_rlvr.algorithms.kl_control import KlControl
from oneshot_rlvr.config import Config, OptimizerSection
from oneshot_rlvr.errors import NotFinite, OneshotError
from oneshot_rlvr.memory import enough_memory
from oneshot_rlvr.policy import Policy, learning_rate_factor, load_critic, load_policy, make_optimizer
from oneshot_rlvr.policy.lora import add_adapters
from oneshot_rlvr.policy.optimizer import trained_parameters

POLICY, CRITIC = "policy", "critic"


@dataclass
class Learner:
    """A module that is trained, under a name, with an optimizer of its own; not in a run's first `waits` steps."""

    name: str
    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    section: OptimizerSection
    waits: int = 0
    active: bool = True

    def begin(self, step: int, steps: int) -> float:
        """Be ready for `step` (from 0) of `steps`; returns its learning rate."""
        self.active = step >= self.waits
        rate = self.section.learning_rate * learning_rate_factor(self.section, step, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def step(self, loss: float) -> float:
        """Clip the gradient and step; returns its norm before clipping.

        Raises:
            NotFinite: the loss or the norm is not; the weights are then as they were.
            OneshotError: memory runs out.
        """
        parameters = trained_parameters(self.optimizer)
        for parameter in parameters:
            if parameter.grad is None:  # a step without signal is a step all the same, resumed or not
                parameter.grad = torch.zeros_like(parameter, dtype=parameter.grad_dtype)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.section.max_grad_norm))
        for metric, value in (("loss", loss), ("grad_norm", norm)):
            if not math.isfinite(value):
                raise NotFinite(f"{self.name}/{metric}", value)
        with enough_memory(self.name):  # its state is made at the first step
            self.optimizer.step()
        return norm


@dataclass
class Models:
    """The policy; all learners by name, it among them; frozen models by what they are needed for; a critic, if any; and
    what steers KL in the reward."""

    policy: Policy
    learners: dict[str, Learner]
    frozen: dict[str, Policy] = field(default_factory=dict)
    critic: Policy | None = None
    kl: KlControl = field(default_factory=KlControl)

    @property
    def learner(self) -> Learner:
        """The policy's."""
        return self.learners[POLICY]

    def begin(self, step: int, steps: int) -> dict[str, float]:
        """Make all learners ready for `step` (from 0) of `steps`; returns their learning rates as metrics."""
        rates = {name: learner.begin(step, steps) for name, learner in self.learners.items()}
        return {f"{'optimizer' if name == POLICY else name}/learning_rate": rate for name, rate in rates.items()}

    def of(self, need: str) -> Policy:
        """Which model's scores a need of an algorithm are."""
        if need == "values":
            assert self.critic is not None
            return self.critic
        return self.policy if need in ("old", "entropy", "certainty") else self.frozen[need]

    def add_critic(self, config: Config) -> Learner:
        """A critic as a run begins with it; the policy waits while it warms up."""
        section = config.model.model_copy(update={"path": config.critic.path or config.model.path})
        self.critic = load_critic(section, config.speed.shared_prefix)
        self.learner.waits = config.critic.warmup_steps
        own = config.critic.model_dump(include={"learning_rate", "weight_decay", "max_grad_norm"})
        shared = config.optimizer.model_dump(include={"betas", "eps", "moments"})
        rules = OptimizerSection(**shared, **own)
        with enough_memory(CRITIC):
            learner = Learner(CRITIC, self.critic.model, make_optimizer(self.critic.model, rules), rules)
        self.learners[CRITIC] = learner
        return learner


def policy_learner(policy: Policy, config: Config) -> Learner:
    """The policy as a learner, its optimizer fresh."""
    with enough_memory(config.model.path):
        optimizer = make_optimizer(policy.model, config.optimizer)
    return Learner(POLICY, policy.model, optimizer, config.optimizer)


def new_models(config: Config) -> Models:
    """Models as a run begins with them."""
    policy = load_policy(config.model, config.speed.shared_prefix)
    if config.model.lora_rank:
        add_adapters(policy.model, config.model, config.run.seed)
    return Models(policy, {POLICY: policy_learner(policy, config)})


def load_frozen(config: Config, needs: Set[str], policy: Policy) -> dict[str, Policy]:
    """The models that an algorithm compares with: the base as `reference`, and as `informed` where it is shown the
    solution; `algorithm.teacher` as `teacher`. With adapters the base is the policy, and scored without them.

    Raises:
        OneshotError: a teacher is needed and none is configured, or it reads other token ids.
    """
    found = {}
    if base := needs & {"reference", "informed"}:
        own = policy
        if not config.model.lora_rank:
            own = load_policy(config.model, config.speed.shared_prefix, policy.tokenizer)
        found |= dict.fromkeys(sorted(base), own)
    if "teacher" in needs:
        if config.algorithm.teacher is None:
            raise OneshotError("this algorithm needs a teacher", where="algorithm.teacher", fix="Name a model.")
        section = config.model.model_copy(update={"path": config.algorithm.teacher})
        teacher = found["teacher"] = load_policy(section, config.speed.shared_prefix)
        if teacher.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
            raise OneshotError(
                "the teacher reads other tokens than the model that it teaches",
                where=f"algorithm.teacher={config.algorithm.teacher}",
                fix="Choose a teacher with the same tokenizer.",
            )
    return found
