"""One step's optimizer updates: score, loss, backward, clip, step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from oneshot_rlvr.algorithms import Algorithm, Experience, LossInputs, Totals
from oneshot_rlvr.config import Config
from oneshot_rlvr.memory import Budget, in_pieces
from oneshot_rlvr.policy import Scorer
from oneshot_rlvr.policy.forward import pad_right
from oneshot_rlvr.training.models import Models
from oneshot_rlvr.training.scoring import Passes, microbatch_budget, score


@dataclass
class Sums:
    """Totals over the tokens that were scored, for the step's metrics; their names are the loss's own."""

    loss: float = 0.0
    tokens: int = 0
    values: dict[str, float] = field(default_factory=dict)

    def add(self, tokens: int, values: dict[str, float]) -> None:
        """Add one micro-batch."""
        self.tokens += tokens
        for name, value in values.items():
            self.values[name] = self.values.get(name, 0.0) + value

    def merge(self, other: Sums) -> None:
        """Add another's totals."""
        self.loss += other.loss
        self.add(other.tokens, other.values)

    def means(self) -> dict[str, float]:
        """Each total per token."""
        return {f"policy/{name}": value / max(1, self.tokens) for name, value in self.values.items()}


def update(
    models: Models, experience: Experience, algorithm: Algorithm, config: Config, budget: Budget | None = None
) -> dict[str, float]:
    """Update the policy on a step's experience; returns the `policy/` metrics.

    On-policy (one minibatch, one epoch) the old log-probabilities are the trainer's own, detached. Rollouts whose
    advantages are all 0 are not scored unless a unit of the algorithm needs them; they still count in denominators.
    `budget` is halved, and the minibatch done again, when memory runs out.

    Raises:
        OneshotError: the loss is not finite, raised before the optimizer's step; or memory ran out all the same.
    """
    budget = budget or microbatch_budget(config, models.policy.device)
    passes = Passes(experience, config, budget)
    used = carrying_loss(experience, algorithm, config)
    needs = algorithm.needs | ({"old"} if _old_is_needed(config) else set())
    passes = replace(passes, experience=score(models, passes, needs, used))
    totals, norms, losses = Sums(values=algorithm.sums_of_nothing()), [], []
    if experience.sampler is not None:
        totals.values["sampler_gap"] = 0.0
    for _ in range(config.batch.epochs):
        for part in experience.minibatches(config.batch.minibatches):
            minibatch = _Minibatch(models, passes, algorithm, part, sorted(set(part) & set(used)))
            sums = in_pieces(budget, minibatch.accumulate)
            norms.append(models.learner.step(sums.loss))
            losses.append(sums.loss)
            totals.merge(sums)
    means = totals.means()
    if not _all_count(algorithm, config) and experience.sampler is not None:  # not every entropy is computed
        means["policy/entropy"] = -float(torch.cat(list(experience.sampler)).sum()) / experience.tokens()
    return {
        **means,
        "policy/loss": sum(losses) / len(losses),
        "policy/grad_norm": sum(norms) / len(norms),
        "policy/scored_fraction": len(used) / len(experience),
        "batch/microbatch_tokens": budget.size,
    }


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


@dataclass(frozen=True)
class _Minibatch:
    """The rollouts of one optimizer step: all of them in `part`, those that carry loss in `used`."""

    models: Models
    passes: Passes
    algorithm: Algorithm
    part: list[int]
    used: list[int]

    def accumulate(self) -> Sums:
        """Add the gradient, micro-batch by micro-batch; from the beginning each time that it is called."""
        self.models.learner.optimizer.zero_grad(set_to_none=False)
        sums = Sums()
        if not self.used:
            return sums
        policy = self.models.policy
        with self.passes.scorer(policy) as scorer:
            micros, as_tries = self.passes.split(policy, self.used)
            for micro in micros:
                self._add(scorer, micro, as_tries, sums)
            scorer.backward()
        return sums

    def _add(self, scorer: Scorer, micro: list[int], as_tries: bool, sums: Sums) -> None:
        seen = self.passes.experience
        responses = [seen.responses[i] for i in micro]
        logprobs_BT, entropy_BT = scorer.score([seen.prompt_B[i] for i in micro], responses, as_tries)
        _, mask_BT = pad_right(responses, scorer.policy.device)
        old_BT = logprobs_BT.detach() if seen.old is None else _stack(seen.old, micro, mask_BT, logprobs_BT)
        assert seen.advantages is not None
        inputs = LossInputs(
            logprobs_BT=logprobs_BT,
            entropy_BT=entropy_BT,
            mask_BT=mask_BT,
            old_BT=old_BT,
            advantages_BT=_stack(seen.advantages, micro, mask_BT, logprobs_BT),
            totals=Totals(seen.tokens(self.part), len(self.part)),
            reference_BT=None if seen.reference is None else _stack(seen.reference, micro, mask_BT, logprobs_BT),
            teacher_BT=None if seen.teacher is None else _stack(seen.teacher, micro, mask_BT, logprobs_BT),
        )
        terms = self.algorithm.loss(inputs)
        terms.loss.backward()
        values = {name: float(value) for name, value in terms.sums.items()}
        if seen.sampler is not None:  # before the first update: `old_BT` is of then, however many follow
            sampled_BT = _stack(seen.sampler, micro, mask_BT, logprobs_BT)
            values["sampler_gap"] = float(((old_BT - sampled_BT).abs() * mask_BT).sum())
        sums.loss += float(terms.loss.detach())
        sums.add(int(mask_BT.sum()), values)


def _stack(
    rows: Sequence[torch.Tensor], indices: Sequence[int], mask_BT: torch.Tensor, like_BT: torch.Tensor
) -> torch.Tensor:
    """Some rows of different lengths in one tensor of the shape, dtype and device of `like_BT`."""
    flat_N = torch.cat([rows[i] for i in indices]).to(like_BT.device, like_BT.dtype)
    return torch.zeros_like(like_BT, requires_grad=False).masked_scatter_(mask_BT, flat_N)
