"""An algorithm: advantage x surrogate x aggregation + penalties, put together from a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import torch

from oneshot_rlvr.algorithms.experience import NEEDS, Experience, LossInputs, LossTerms, Totals
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
        KL_ESTIMATORS.unit(section.kl_estimator)
        for unit in algorithm.units:
            if "estimator" in unit.options:
                KL_ESTIMATORS.unit(unit.options["estimator"])
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
        rows = found.advantages if isinstance(found, Experience) else None
        rows = rows if isinstance(rows, Sequence) else ()
        shapes = [tuple(row.shape) if isinstance(row, torch.Tensor) else None for row in rows]
        _expect(
            self.advantage,
            shapes == [(length,) for length in experience.lengths_B],
            "return dataclasses.replace(experience, advantages=[...]), one tensor [T] a rollout",
        )
        return found

    def loss(self, inputs: LossInputs) -> LossTerms:
        """The loss of a micro-batch. Nothing is written in place.

        The sums are those of the surrogate, the entropy, and each penalty under its name (0 for a KL that nothing asks
        for).

        Raises:
            OneshotError: a user's function gave something else than it should.
        """
        pair = self.surrogate(inputs)
        good = isinstance(pair, tuple) and len(pair) == 2 and _like(pair[0], inputs) and isinstance(pair[1], Mapping)
        _expect(self.surrogate, good, "return (values [B, T], {name: sum})")
        surrogate_BT, named = pair
        loss = self._aggregated(inputs, surrogate_BT)
        zero = inputs.logprobs_BT.new_zeros(())
        sums = {**named, "entropy": _sum(inputs, inputs.entropy_BT), "kl": zero}
        for weight, penalty in self.penalties:
            term_BT = penalty(inputs)
            _expect(penalty, _like(term_BT, inputs), "return values [B, T]")
            loss = loss + self._aggregated(inputs, term_BT, weight)
            sums[penalty.name] = _sum(inputs, term_BT)
        return LossTerms(loss, {name: torch.as_tensor(value).detach() for name, value in sums.items()})

    def sums_of_nothing(self) -> dict[str, float]:
        """The sums that `loss` names, all 0: of a step whose loss looks at no rollout."""
        one = torch.zeros(1, 1)
        empty = LossInputs(
            logprobs_BT=one,
            entropy_BT=one,
            mask_BT=torch.zeros(1, 1, dtype=torch.bool),
            old_BT=one,
            advantages_BT=one,
            totals=Totals(1, 1),
            reference_BT=one,
            teacher_BT=one,
        )
        return {name: float(value) for name, value in self.loss(empty).sums.items()}

    def _aggregated(self, inputs: LossInputs, values_BT: torch.Tensor, weight: float | None = None) -> torch.Tensor:
        pair = self.aggregation(values_BT, inputs.mask_BT, inputs.totals)
        good = isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], torch.Tensor) and pair[0].ndim == 0
        _expect(self.aggregation, good, "return (sum, what it is divided by)")
        total, divisor = pair
        return (total if weight is None else weight * total) / divisor


def _expect(unit: Unit, good: bool, says: str) -> None:
    if not good:
        raise OneshotError(
            "it did not return what it should", where=f"{unit.where} {unit.name}", fix=f"It should {says}."
        )


def _like(values: object, inputs: LossInputs) -> bool:
    return isinstance(values, torch.Tensor) and values.shape == inputs.mask_BT.shape


def _sum(inputs: LossInputs, values_BT: torch.Tensor) -> torch.Tensor:
    return torch.where(inputs.mask_BT, values_BT, 0.0).sum()
