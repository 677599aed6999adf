"""From probes to gains: ridge regression, its penalty by leave-one-out, its intervals by conformal prediction.

The intervals are the jackknife+ (Barber et al., 2021): of each problem left out in turn, the error, and what the fit
without it says of the new problem. With the penalty fixed they hold at least 1 - 2 alpha of the time, in practice
about 1 - alpha, for problems that are drawn as the fitted ones were. The penalty is chosen on all of them, and on
another model nothing promises anything: so it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import read_json, write_json
from oneshot_rlvr.selection.probes import FEATURES, Probe, table_of

PENALTIES = tuple(10.0**power for power in np.arange(-2, 4.5, 0.5))
COVERAGE = 0.9
FEWEST = 10  # problems to fit
FIX = "Make one with `oneshot select fit`."


@dataclass(frozen=True)
class Prediction:
    """A forecast gain in points, and the ends of its interval."""

    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Forecaster:
    """Problems with their features [P, F] and measured gains [P], and the penalty that leaving one out chose.

    Everything else is computed from these, so a file of it is its own evidence.
    """

    features: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    gains: tuple[float, ...]
    penalty: float

    @classmethod
    def fit(cls, probes: Sequence[Probe], gains: Sequence[float]) -> Forecaster:
        """Fit on measured gains.

        Raises:
            OneshotError: fewer than `FEWEST` problems.
        """
        if len(gains) < FEWEST:
            raise OneshotError(
                f"{len(gains)} problems are too few to fit a forecast", where="oneshot select fit", fix="Study more."
            )
        rows_PF, gains_P = np.array(table_of(probes)), np.array(gains, float)
        errors = {penalty: float((_left_out(rows_PF, gains_P, penalty)[1] ** 2).sum()) for penalty in PENALTIES}
        best = min(errors, key=errors.__getitem__)
        return cls(FEATURES, tuple(map(tuple, rows_PF.tolist())), tuple(map(float, gains)), best)

    def saw(self, probes: Sequence[Probe], gains: Sequence[float]) -> bool:
        """Whether some of these problems, with these gains, are among those that it was fitted on."""
        known = set(zip(self.rows, self.gains, strict=True))
        return any((tuple(row), gain) in known for row, gain in zip(table_of(probes), gains, strict=True))

    def left_out(self) -> list[float]:
        """What the fit without each problem says of it."""
        rows_PF, gains_P = self._arrays()
        return (gains_P - _left_out(rows_PF, gains_P, self.penalty)[1]).tolist()

    def predict(self, probes: Sequence[Probe], coverage: float = COVERAGE) -> list[Prediction]:
        """The gains of other problems."""
        rows_PF, gains_P = self._arrays()
        weights_PF, errors_P = _left_out(rows_PF, gains_P, self.penalty)
        new_NF = np.array(table_of(probes)).reshape(len(probes), -1)
        whole_F = _weights(rows_PF, gains_P, self.penalty)
        middle_N = _with_one(new_NF) @ whole_F
        without_NP = _with_one(new_NF) @ weights_PF.T
        low_N = _lower(without_NP - np.abs(errors_P), coverage)
        high_N = -_lower(-without_NP - np.abs(errors_P), coverage)
        return [Prediction(*map(float, row)) for row in zip(middle_N, low_N, high_N, strict=True)]

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.rows), np.array(self.gains)

    def write(self, path: Path, about: Mapping[str, Any]) -> None:
        """A file that `read` reads; `about` says where it comes from."""
        write_json(path, {**asdict(self), "about": dict(about)})

    @classmethod
    def read(cls, path: str | Path) -> Forecaster:
        """The forecaster in a file.

        Raises:
            OneshotError: it is none, or is of other features.
        """
        values = read_json(Path(path), FIX)
        if not isinstance(values, dict) or values.get("features") != list(FEATURES):
            raise OneshotError("not a fitted forecast of these features", where=path, fix=FIX)
        try:
            rows_PF = np.array(values["rows"], float).reshape(-1, len(FEATURES))
            gains_P, penalty = np.array(values["gains"], float).reshape(-1), float(values["penalty"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise OneshotError(f"not a fitted forecast: {error}", where=path, fix=FIX) from error
        finite = np.isfinite(rows_PF).all() and np.isfinite(gains_P).all() and 0 < penalty < np.inf
        if len(rows_PF) != len(gains_P) or len(gains_P) < FEWEST or not finite:
            raise OneshotError("not a fitted forecast: rows and gains do not fit", where=path, fix=FIX)
        return cls(FEATURES, tuple(map(tuple, rows_PF.tolist())), tuple(gains_P.tolist()), penalty)


def coverage_of(predictions: Sequence[Prediction], gains: Sequence[float]) -> float:
    """The share of intervals that hold the measured gain."""
    return float(np.mean([p.low <= gain <= p.high for p, gain in zip(predictions, gains, strict=True)]))


def _with_one(rows_NF: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(rows_NF), 1)), rows_NF], axis=1)


def _weights(rows_PF: np.ndarray, gains_P: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge weights [1 + F], the intercept first and unpenalised; features are standardised within, weights are not."""
    middle_F, spread_F = rows_PF.mean(axis=0), rows_PF.std(axis=0)
    spread_F = np.where(spread_F > 1e-12, spread_F, np.inf)
    tidy_PF = (rows_PF - middle_F) / spread_F
    slopes_F = np.linalg.solve(
        tidy_PF.T @ tidy_PF + penalty * np.eye(tidy_PF.shape[1]), tidy_PF.T @ (gains_P - gains_P.mean())
    )
    slopes_F = slopes_F / spread_F
    return np.concatenate([[gains_P.mean() - middle_F @ slopes_F], slopes_F])


def _left_out(rows_PF: np.ndarray, gains_P: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """The weights [P, 1 + F] fitted without each problem, and its error then [P]."""
    others = ~np.eye(len(gains_P), dtype=bool)
    weights_PF = np.stack([_weights(rows_PF[keep], gains_P[keep], penalty) for keep in others])
    return weights_PF, gains_P - (_with_one(rows_PF) * weights_PF).sum(axis=1)


def _lower(values_NP: np.ndarray, coverage: float) -> np.ndarray:
    """The jackknife+'s lower end: the floor((1 - coverage)(P + 1))-th smallest, or no bound where that is the 0th."""
    place = int(np.floor((1 - coverage) * (values_NP.shape[1] + 1) + 1e-9))
    return np.sort(values_NP, axis=1)[:, place - 1] if place else np.full(len(values_NP), -np.inf)
