"""An algorithm: advantage x surrogate x aggregation + penalties, put together from a configuration."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import torch

from oneshot_rlvr.algorithms.experience import NEEDS, Experience, LossInputs, LossTerms
from oneshot_rlvr.algorithms.registries import ADVANTAGES, AGGREGATIONS, KL_ESTIMATORS, PENALTIES, SURROGATES
from oneshot_rlvr.config import AlgorithmSection, Unit
from oneshot_rlvr.errors import OneshotError


@dataclass(frozen=True)
class Algorithm:
    """What a step's rollouts become: advantages, then a loss.

    L = aggregate(surrogate) + sum over penalties of coefficient x aggregate(penalty)
    """

    advantage: Unit
    surrogate: Unit
    aggregation: Unit
    penalties: tuple[tuple[float, Unit], ...] = ()

    @classmethod
    def of(cls, section: AlgorithmSection, max_new_tokens: int) -> Algorithm:
        """The configured algorithm.

        `clip_low`, `clip_high`, `kl_estimator` and `max_new_tokens` are given to units of ours that have the options
        `clip_low`, `clip_high`, `estimator` and `length` and were not given them.

        Raises:
            OneshotError: an unknown unit or option.
        """
        KL_ESTIMATORS.unit(section.kl_estimator)
        clip = {"clip_low": section.clip_low, "clip_high": section.clip_high}
        estimator = {"estimator": section.kl_estimator}
        terms = [
            (-section.entropy_coefficient, PENALTIES.unit("entropy")),
            (section.kl_coefficient, PENALTIES.unit("kl", estimator)),
            *PENALTIES.sum(section.penalties, estimator),
        ]
        algorithm = cls(
            ADVANTAGES.unit(section.advantage),
            SURROGATES.unit(section.surrogate, clip),
            AGGREGATIONS.unit(section.aggregation, {"length": max_new_tokens}),
            tuple((weight, unit) for weight, unit in terms if weight),
        )
        for unit in algorithm.units:
            if unknown := [need for need in unit.trait("needs", ()) if need not in NEEDS]:
                raise OneshotError(
                    f"{unit.name} needs {unknown[0]!r}", where=unit.where, fix=f"Choose from: {', '.join(NEEDS)}."
                )
        return algorithm

    @property
    def units(self) -> list[Unit]:
        """All that it is made of."""
        return [self.advantage, self.surrogate, self.aggregation, *(unit for _, unit in self.penalties)]

    @property
    def advantage_needs(self) -> Set[str]:
        """What must be there before the advantages."""
        return frozenset(self.advantage.trait("needs", ()))

    @property
    def needs(self) -> Set[str]:
        """What must be there before the loss."""
        return frozenset(need for unit in self.units for need in unit.trait("needs", ()))

    def advantages(self, experience: Experience) -> Experience:
        """The experience with an advantage for every token.

        Raises:
            OneshotError: a user's function gave something else.
        """
        found = self.advantage(experience)
        lengths = [len(row) for row in found.advantages or ()] if isinstance(found, Experience) else None
        if lengths != experience.lengths_B:
            raise OneshotError(
                "it did not return the experience with `advantages`, one tensor [T] a rollout",
                where=f"{self.advantage.where} {self.advantage.name}",
                fix="Return dataclasses.replace(experience, advantages=[...]).",
            )
        return found

    def loss(self, inputs: LossInputs) -> LossTerms:
        """The loss of a micro-batch. Nothing is written in place.

        The sums are those of the surrogate, the entropy, and each penalty under its name (0 for a KL that nothing asks
        for).
        """
        surrogate_BT, sums = self.surrogate(inputs)
        loss = self._aggregated(inputs, surrogate_BT)
        sums = {**sums, "entropy": _sum(inputs, inputs.entropy_BT), "kl": inputs.logprobs_BT.new_zeros(())}
        for coefficient, penalty in self.penalties:
            term_BT = penalty(inputs)
            loss = loss + self._aggregated(inputs, term_BT, coefficient)
            sums[penalty.name] = _sum(inputs, term_BT)
        return LossTerms(loss, {name: value.detach() for name, value in sums.items()})

    def _aggregated(
        self, inputs: LossInputs, values_BT: torch.Tensor, coefficient: float | None = None
    ) -> torch.Tensor:
        total, divisor = self.aggregation(values_BT, inputs.mask_BT, inputs.totals)
        return (total if coefficient is None else coefficient * total) / divisor


def _sum(inputs: LossInputs, values_BT: torch.Tensor) -> torch.Tensor:
    return torch.where(inputs.mask_BT, values_BT, 0.0).sum()
