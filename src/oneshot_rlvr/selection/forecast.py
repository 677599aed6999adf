"""From probes and questions to gains: kernel ridge regression, its intervals by conformal prediction.

Two problems are alike as far as their probes are, their questions, or both: k = w k_probe + (1 - w) k_text, the mean
product of standardised features and the cosine of character n-grams. The weight and the penalty are those whose
left-out errors are smallest.

The intervals are the jackknife+ (Barber et al., 2021): of each problem left out in turn, the error, and what the fit
without it says of the new problem. With weight and penalty fixed they hold at least 1 - 2 alpha of the time, in
practice about 1 - alpha, for problems that are drawn as the fitted ones were. Both are chosen on all of them, and on
another model nothing promises anything: so it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import read_json, write_json
from oneshot_rlvr.selection.probes import FEATURES, Probe, table_of
from oneshot_rlvr.selection.texts import tf_idf, tidied

WEIGHTS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
PENALTIES = tuple(10.0**power for power in np.arange(-3, 2.5, 0.5))
COVERAGE = 0.9
GRAM = 3  # characters
FEWEST = 10  # problems to fit
FIX = "Make one with `oneshot select fit`."


@dataclass(frozen=True)
class Prediction:
    """A forecast gain in points, and the ends of its interval."""

    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Tried:
    """A problem that was probed: what a forecast reads of it."""

    probe: Probe
    question: str


@dataclass(frozen=True)
class Forecaster:
    """Problems with their features [P, F], questions and measured gains [P]; the weight of the probe, the penalty; of
    one that was read from a file, the model whose gains these are.

    Everything else is computed from these, so a file of it is its own evidence.
    """

    features: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    questions: tuple[str, ...]
    gains: tuple[float, ...]
    weight: float
    penalty: float
    model: str | None = None

    @classmethod
    def fit(cls, tried: Sequence[Tried], gains: Sequence[float], weights: Sequence[float] = WEIGHTS) -> Forecaster:
        """Fit on measured gains; `weights` are those of the probe that may be taken.

        Raises:
            OneshotError: fewer than `FEWEST` problems.
        """
        if len(gains) < FEWEST:
            raise OneshotError(
                f"{len(gains)} problems are too few to fit a forecast", where="oneshot select fit", fix="Study more."
            )
        rows = tuple(map(tuple, table_of(one.probe for one in tried)))
        known = (FEATURES, rows, tuple(one.question for one in tried), tuple(map(float, gains)))
        fits = [cls(*known, weight, penalty) for weight, penalty in product(weights, PENALTIES)]
        return min(fits, key=lambda fit: float((fit._errors() ** 2).sum()))

    def saw(self, tried: Sequence[Tried], gains: Sequence[float]) -> bool:
        """Whether some of these problems, with these gains, are among those that it was fitted on."""
        known = set(zip(self.rows, self.gains, strict=True))
        rows = table_of(one.probe for one in tried)
        return any((tuple(row), gain) in known for row, gain in zip(rows, gains, strict=True))

    def left_out(self) -> list[float]:
        """What the fit without each problem says of it."""
        return (np.array(self.gains) - self._errors()).tolist()

    def predict(self, tried: Sequence[Tried], coverage: float = COVERAGE) -> list[Prediction]:
        """The gains of other problems. One whose question it was fitted on is left out of the fit for its own."""
        return [self._without(one.question)._predicted(one, coverage) for one in tried]

    def _without(self, question: str) -> Forecaster:
        kept = [place for place, known in enumerate(self.questions) if tidied(known) != tidied(question)]
        if len(kept) == len(self.gains):
            return self
        rows, questions, gains = ([values[i] for i in kept] for values in (self.rows, self.questions, self.gains))
        return replace(self, rows=tuple(rows), questions=tuple(questions), gains=tuple(gains))

    def _predicted(self, one: Tried, coverage: float) -> Prediction:
        whole_P, left_out_PP = self._solved
        own_P = np.append(self._kernel(table_of([one.probe]), [one.question])[0], 1.0)
        without_P, errors_P = own_P @ left_out_PP, np.abs(self._errors())
        low, high = _lower(without_P - errors_P, coverage), -_lower(-without_P - errors_P, coverage)
        return Prediction(float(own_P @ whole_P), low, high)

    def _errors(self) -> np.ndarray:
        """Of each problem, by the fit without it [P]."""
        _, left_out_PP = self._solved
        return np.array(self.gains) - (self._known * left_out_PP[:-1].T).sum(axis=1) - left_out_PP[-1]

    @cached_property
    def _solved(self) -> tuple[np.ndarray, np.ndarray]:
        """Slopes and, behind them, the intercept: of the whole fit [P + 1], and without each problem [P + 1, P].

        The intercept has no penalty. Leaving one out needs no other fit: its slope is brought to 0 along its column of
        the inverse (Cawley and Talbot, 2004).
        """
        count = len(self.gains)
        system_PP = np.ones((count + 1, count + 1))
        system_PP[:count, :count] = self._known + self.penalty * np.eye(count)
        system_PP[count, count] = 0.0
        columns_PP = np.linalg.inv(system_PP)[:, :count]
        whole_P = columns_PP @ np.array(self.gains)
        return whole_P, whole_P[:, None] - columns_PP * (whole_P[:count] / np.diag(columns_PP))

    @cached_property
    def _known(self) -> np.ndarray:
        """How alike the fitted problems are [P, P]."""
        return self._kernel(self.rows, self.questions)

    def _kernel(self, rows: Sequence[Sequence[float]], questions: Sequence[str]) -> np.ndarray:
        """How alike problems are to the fitted ones [N, P]."""
        known_PF = np.array(self.rows)
        middle_F, spread_F = known_PF.mean(axis=0), known_PF.std(axis=0)
        spread_F = np.where(spread_F > 1e-12, spread_F, np.inf)
        probe_NP = ((np.array(rows) - middle_F) / spread_F) @ ((known_PF - middle_F) / spread_F).T / len(middle_F)
        if self.weight == 1:
            return probe_NP
        ours, theirs = tf_idf(questions, GRAM, self.questions), tf_idf(self.questions, GRAM)
        return self.weight * probe_NP + (1 - self.weight) * (ours @ theirs.T).astype(float)

    def write(self, path: Path, about: Mapping[str, Any]) -> None:
        """A file that `read` reads; `about` says where it comes from."""
        own = {name: value for name, value in asdict(self).items() if name != "model"}
        write_json(path, {**own, "about": dict(about)})

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
            gains_P = np.array(values["gains"], float).reshape(-1)
            weight, penalty = float(values["weight"]), float(values["penalty"])
            questions = tuple(str(text) for text in values["questions"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise OneshotError(f"not a fitted forecast: {error}", where=path, fix=FIX) from error
        finite = np.isfinite(rows_PF).all() and np.isfinite(gains_P).all() and 0 < penalty < np.inf and 0 <= weight <= 1
        if not len(rows_PF) == len(gains_P) == len(questions) >= FEWEST or not finite:
            raise OneshotError("not a fitted forecast: rows, questions and gains do not fit", where=path, fix=FIX)
        about = values.get("about")
        model = str(about["model"]) if isinstance(about, dict) and "model" in about else None
        rows, gains = tuple(map(tuple, rows_PF.tolist())), tuple(gains_P.tolist())
        return cls(FEATURES, rows, questions, gains, weight, penalty, model)


def coverage_of(predictions: Sequence[Prediction], gains: Sequence[float]) -> float:
    """The share of intervals that hold the measured gain."""
    return float(np.mean([p.low <= gain <= p.high for p, gain in zip(predictions, gains, strict=True)]))


def _lower(values_P: np.ndarray, coverage: float) -> float:
    """The jackknife+'s lower end: the floor((1 - coverage)(P + 1))-th smallest, or no bound where that is the 0th."""
    place = int(np.floor((1 - coverage) * (len(values_P) + 1) + 1e-9))
    return float(np.sort(values_P)[place - 1]) if place else -np.inf
