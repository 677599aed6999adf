"""What each learner minimises on a minibatch: the policy its algorithm's loss, a critic its error."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from oneshot_rlvr.algorithms import Algorithm, LossInputs, Totals
from oneshot_rlvr.algorithms.gae import value_loss
from oneshot_rlvr.memory import give_back
from oneshot_rlvr.policy import Policy, Scorer, ValueScorer
from oneshot_rlvr.policy.forward import pad_right
from oneshot_rlvr.policy.model import is_small
from oneshot_rlvr.training.models import Learner
from oneshot_rlvr.training.scoring import Passes


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

    def means(self, learner: str) -> dict[str, float]:
        """Each total per token."""
        return {f"{learner}/{name}": value / max(1, self.tokens) for name, value in self.values.items()}


@dataclass(frozen=True)
class Objective(ABC):
    """A learner's loss; `used` are the step's rollouts that it looks at, in order."""

    learner: Learner
    model: Policy
    passes: Passes
    used: Sequence[int]

    kind = Scorer

    def accumulate(self, part: Sequence[int]) -> Sums:
        """Add the gradient of a minibatch, micro-batch by micro-batch; from the beginning each time that it is called.

        `part` are all its rollouts, which denominators count.
        """
        self.learner.optimizer.zero_grad(set_to_none=False)
        sums, used = Sums(), sorted(set(part) & set(self.used))
        if not used:
            return sums
        seen = self.passes.experience
        totals = Totals(seen.tokens(part), len(part))
        large = self.model.device.type == "cpu" and not is_small(self.passes.config.model)
        for piece in self.passes.pieces(self.model, used, self.kind):
            for micro in piece.micros:
                if large:
                    give_back()
                _, mask_BT = pad_right([seen.responses[i] for i in micro], self.model.device)
                loss, values = self.loss(piece.score(micro), mask_BT, micro, totals)
                loss.backward()
                sums.loss += float(loss.detach())
                sums.add(int(mask_BT.sum()), {name: float(value) for name, value in values.items()})
            piece.scorer.backward()
        if large:
            give_back()
        return sums

    @abstractmethod
    def loss(
        self, scores: Sequence[torch.Tensor], mask_BT: torch.Tensor, micro: Sequence[int], totals: Totals
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a micro-batch, and sums over its tokens."""


@dataclass(frozen=True)
class PolicyObjective(Objective):
    """The algorithm's loss."""

    algorithm: Algorithm

    def loss(
        self, scores: Sequence[torch.Tensor], mask_BT: torch.Tensor, micro: Sequence[int], totals: Totals
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """`Algorithm.loss`; on-policy the old log-probabilities are these, detached."""
        seen, (logprobs_BT, entropy_BT) = self.passes.experience, scores
        old_BT = logprobs_BT.detach() if seen.old is None else stack(seen.old, micro, mask_BT, logprobs_BT)
        assert seen.advantages is not None
        inputs = LossInputs(
            logprobs_BT=logprobs_BT,
            entropy_BT=entropy_BT,
            mask_BT=mask_BT,
            old_BT=old_BT,
            advantages_BT=stack(seen.advantages, micro, mask_BT, logprobs_BT),
            totals=totals,
            reference_BT=None if seen.reference is None else stack(seen.reference, micro, mask_BT, logprobs_BT),
            teacher_BT=None if seen.teacher is None else stack(seen.teacher, micro, mask_BT, logprobs_BT),
        )
        terms = self.algorithm.loss(inputs)
        values = dict(terms.sums)
        if seen.sampler is not None:  # before the first update: `old_BT` is of then, however many follow
            sampled_BT = stack(seen.sampler, micro, mask_BT, logprobs_BT)
            values["sampler_gap"] = ((old_BT - sampled_BT).abs() * mask_BT).sum()
        return terms.loss, values


@dataclass(frozen=True)
class ValueObjective(Objective):
    """The clipped squared distance from the returns, averaged over the minibatch's tokens."""

    clip: float

    kind = ValueScorer

    def loss(
        self, scores: Sequence[torch.Tensor], mask_BT: torch.Tensor, micro: Sequence[int], totals: Totals
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """`value_loss`."""
        seen, (values_BT,) = self.passes.experience, scores
        assert seen.values is not None
        assert seen.returns is not None
        before_BT, returns_BT = (stack(rows, micro, mask_BT, values_BT) for rows in (seen.values, seen.returns))
        loss_BT, clipped_BT = value_loss(values_BT, before_BT, returns_BT, self.clip)
        loss = torch.where(mask_BT, loss_BT, 0.0).sum() / totals.tokens
        sums = {"clip_fraction": clipped_BT & mask_BT, "value": values_BT, "return": returns_BT}
        return loss, {name: tensor.detach().sum() for name, tensor in sums.items()}


def stack(
    rows: Sequence[torch.Tensor], indices: Sequence[int], mask_BT: torch.Tensor, like_BT: torch.Tensor
) -> torch.Tensor:
    """Some rows of different lengths in one tensor of the shape, dtype and device of `like_BT`."""
    flat_N = torch.cat([rows[i] for i in indices]).to(like_BT.device, like_BT.dtype)
    return torch.zeros_like(like_BT, requires_grad=False).masked_scatter_(mask_BT, flat_N)
