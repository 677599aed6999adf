"""The coefficient of KL in the reward, steered towards a divergence."""

from __future__ import annotations

from dataclasses import dataclass

from oneshot_rlvr.algorithms.experience import Experience
from oneshot_rlvr.algorithms.registries import KL_ESTIMATORS
from oneshot_rlvr.errors import OneshotError


@dataclass
class KlControl:
    """c <- c (1 + clip(KL / target - 1, -0.2, 0.2) n / horizon) after each step of n sequences.

    KL is the mean over sequences of the mean over tokens, of the old policy from the reference. Without a target the
    coefficient stays what the advantage's option `kl` says, and `coefficient` is None. Source: arXiv 1909.08593,
    section 2.2, as verl's `AdaptiveKLController` and `apply_kl_penalty` have it.
    """

    coefficient: float | None = None
    target: float | None = None
    horizon: int = 10_000
    estimator: str = "k1"

    @classmethod
    def of(
        cls,
        kl: float = 0.0,
        kl_target: float | None = None,
        kl_horizon: int = 10_000,
        estimator: str = "k1",
        **others: object,
    ) -> KlControl:
        """As an advantage's options ask for it.

        Raises:
            OneshotError: a target or horizon that is not above 0, or nothing to steer.
        """
        if kl_target is None:
            return cls()
        if not (kl > 0 and kl_target > 0 and kl_horizon > 0):
            raise OneshotError(
                f"kl={kl}, kl_target={kl_target}, kl_horizon={kl_horizon} steer nothing",
                where="algorithm.advantage",
                fix="All three are above 0.",
            )
        return cls(kl, kl_target, kl_horizon, estimator)

    def update(self, experience: Experience) -> dict[str, float]:
        """Take a step's divergence into account; returns what there is to tell of it."""
        if self.coefficient is None or self.target is None:
            return {}
        used, divergence = self.coefficient, self.divergence(experience)
        error = min(max(divergence / self.target - 1, -0.2), 0.2)
        self.coefficient = used * (1 + error * len(experience) / self.horizon)
        return {"policy/kl_in_reward": divergence, "policy/kl_coefficient": used}

    def divergence(self, experience: Experience) -> float:
        """The KL that is controlled."""
        assert experience.old is not None
        assert experience.reference is not None
        estimate = KL_ESTIMATORS.unit(self.estimator)
        pairs = zip(experience.old, experience.reference, strict=True)
        means = [float(estimate(old.double(), reference.double()).mean()) for old, reference in pairs]
        return sum(means) / len(means)
