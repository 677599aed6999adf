"""95 % intervals of accuracies. Problems are what is resampled: the samples of one problem are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

RESAMPLES = 2000


def mean_interval(rates: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Interval of the mean of per-problem rates in [0, 1]: percentile bootstrap over problems.

    When every problem has the same rate the bootstrap is blind; then Wilson's interval for that many problems.
    """
    if len(set(rates)) == 1:
        return _wilson(rates)
    return average_interval([rates], seed)


def average_interval(suites: Sequence[Sequence[float]], seed: int = 0) -> tuple[float, float]:
    """Interval of the mean over suites of each suite's mean rate: problems are resampled within each suite."""
    random = np.random.default_rng(seed)
    total = np.zeros(RESAMPLES)
    for suite in suites:
        rates = np.asarray(suite, dtype=float)
        total += rates[random.integers(0, len(rates), (RESAMPLES, len(rates)))].mean(1)
    if len({rate for suite in suites for rate in suite}) == 1:
        return _wilson([rate for suite in suites for rate in suite])
    low, high = np.percentile(total / len(suites), [2.5, 97.5])
    return float(low), float(high)


def _wilson(rates: Sequence[float]) -> tuple[float, float]:
    interval = binomtest(round(sum(rates)), len(rates)).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
