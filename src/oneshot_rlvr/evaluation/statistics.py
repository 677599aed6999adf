"""95 % intervals and paired tests. Problems are what is resampled: the samples of one problem are not independent.

Rates are per-problem shares of correct responses in [0, 1]; a suite is the list of its problems' rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

RESAMPLES = 2000
ENOUGH = 20.0  # problems' worth of successes, and of failures, from which the bootstrap covers: results/intervals.json
FEW = 6.0  # below this many, samples of one problem are taken for one: their variance cannot be judged
Z = float(norm.ppf(0.975))

Suites = Sequence[Sequence[float]]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """b - a in the same problems: the mean over suites, its 95 % interval, and the p-value of no difference."""

    value: float
    interval: Interval
    p_value: float


def mean_interval(rates: Sequence[float], seed: int = 0) -> Interval:
    """Interval of the mean rate: percentile bootstrap, or Wilson's where problems or the rate are small."""
    return average_interval([rates], seed)


def average_interval(suites: Suites, seed: int = 0) -> Interval:
    """Interval of the mean over suites of each suite's mean rate; problems are resampled within each suite.

    If some suite is too small, or too near 0 or 1, for the bootstrap: Wilson's interval of each, combined as the
    variances of a mean are (MOVER; Zou & Donner 2008, doi:10.1002/sim.3095).
    """
    arrays = [np.asarray(suite, dtype=float) for suite in suites]
    if all(_enough(rates) for rates in arrays):
        means = sum(_resampled(rates, seed + i) for i, rates in enumerate(arrays)) / len(arrays)
        low, high = np.percentile(means, [2.5, 97.5])
        return float(low), float(high)
    centre = float(np.mean([rates.mean() for rates in arrays]))
    ends = [(rates.mean(), *wilson(rates)) for rates in arrays]
    below = math.sqrt(sum((mean - low) ** 2 for mean, low, _ in ends)) / len(ends)
    above = math.sqrt(sum((high - mean) ** 2 for mean, _, high in ends)) / len(ends)
    return max(0.0, centre - below), min(1.0, centre + above)


def wilson(rates: NDArray[np.float64]) -> Interval:
    """Wilson's score interval for the mean of rates, of as many independent responses as would vary like them.

    That number is p (1 - p) over the variance of the mean, with Student's quantile for its own uncertainty (as Korn &
    Graubard 1998 do for surveys); it is not above the number of problems where there are too few successes or failures.
    """
    count, p = len(rates), float(rates.mean())
    variance = float(rates.var(ddof=1)) / count if count > 1 else 0.0
    size = count if variance < 1e-12 else p * (1 - p) / variance
    if _successes(rates) < FEW:
        size = min(size, count)
    if count > 1:
        size *= (Z / float(t.ppf(0.975, count - 1))) ** 2
    middle, scale = p + Z * Z / (2 * size), 1 + Z * Z / size
    half = Z * math.sqrt(p * (1 - p) / size + Z * Z / (4 * size * size))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def paired_difference(a: Suites, b: Suites, seed: int = 0) -> Difference:
    """How much better b is than a on the same problems, by suite and averaged.

    The interval is a bootstrap of the differences; or, where fewer than twenty problems of some suite differ, of each
    suite Student's (Wilson's for none of n where all differ alike), combined as in `average_interval`. The p-value is a
    sign-flip permutation test (exact under the null that a and b are exchangeable on every problem; with one response
    each it is McNemar's test), two-sided.
    """
    differences = [np.subtract(y, x, dtype=float) for x, y in zip(a, b, strict=True)]
    value = float(np.mean([d.mean() for d in differences]))
    weighted = np.concatenate([d / len(d) / len(differences) for d in differences])
    moved = weighted[_moved(weighted)]
    low, high = _difference_interval(differences, seed)
    random = np.random.default_rng(seed)
    flips = random.integers(0, 2, (10 * RESAMPLES, len(moved)), dtype=np.int8) * 2 - 1
    as_far = np.abs(flips @ moved) >= abs(value) - 1e-12
    return Difference(value, (float(low), float(high)), (1 + int(as_far.sum())) / (1 + len(flips)))


def _difference_interval(differences: Sequence[NDArray[np.float64]], seed: int) -> Interval:
    value = float(np.mean([d.mean() for d in differences]))
    if all(_moved(d).sum() >= ENOUGH for d in differences):
        means = sum(_resampled(d, seed + i) for i, d in enumerate(differences)) / len(differences)
        low, high = np.percentile(means, [2.5, 97.5])
        return float(low), float(high)
    half = math.sqrt(sum(_half_of_few(d) ** 2 for d in differences)) / len(differences)
    return max(-1.0, value - half), min(1.0, value + half)


def _half_of_few(differences: NDArray[np.float64]) -> float:
    """Half the width of Student's interval for one suite, of as many as differ, `FEW` at least; Wilson's for none where
    all differ by the same: no variance is to be seen then."""
    count, moved = len(differences), int(_moved(differences).sum())
    error = math.sqrt(float(differences.var(ddof=1)) / count) if count > 1 else 0.0
    return float(t.ppf(0.975, max(FEW, moved) - 1)) * error if error > 1e-12 else wilson(np.zeros(count))[1]


def _moved(differences: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which problems differ: by more than what adding the same numbers in another order does."""
    return np.abs(differences) > 1e-12


Run = Mapping[str, Sequence[float]]  # a training seed: the same problems' rates by suite


def interval_over_seeds(by_seed: Sequence[Run], minus: Sequence[Run] | None = None) -> Interval:
    """Interval of the mean over training seeds and suites, or of a difference paired by seed and problem.

    Problems' part, of their means over seeds, as for one seed; seeds' part t(S - 1) sd / sqrt(S), of the seeds' means.
    Both ends are combined as in `average_interval` (MOVER). It covers 95 % or more where seeds are normally distributed
    (results/intervals.json; resampling three seeds as little as 77 %), less where some runs collapse. One seed has no
    seeds' part.
    """
    suites = list(by_seed[0])
    means = [np.mean([run[suite] for run in by_seed], axis=0) for suite in suites]
    levels_S = np.array([_level(run, suites) for run in by_seed])
    if minus is None:
        low, high = average_interval([rates.tolist() for rates in means])
        floor = 0.0
    else:
        before = [np.mean([run[suite] for run in minus], axis=0) for suite in suites]
        low, high = _difference_interval([y - x for x, y in zip(before, means, strict=True)], seed=0)
        levels_S, floor = levels_S - np.array([_level(run, suites) for run in minus]), -1.0
    value, count = float(levels_S.mean()), len(levels_S)
    half = float(t.ppf(0.975, count - 1) * levels_S.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    return max(floor, value - math.hypot(value - low, half)), min(1.0, value + math.hypot(high - value, half))


def _level(run: Run, suites: Sequence[str]) -> float:
    """The mean over suites of the problems' mean rate."""
    return float(np.mean([np.mean(run[suite]) for suite in suites]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment: comparing this to 0.05 keeps the chance of any false positive at 5 %."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted


def _successes(rates: NDArray[np.float64]) -> float:
    """Problems' worth of successes or of failures, whichever are fewer, after two of each are added."""
    count = len(rates)
    p = (float(rates.sum()) + 2) / (count + 4)
    return count * min(p, 1 - p)


def _enough(rates: NDArray[np.float64]) -> bool:
    return _successes(rates) >= ENOUGH and float(rates.min()) < float(rates.max())


def _resampled(rates: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of resampled rates."""
    return _counts(len(rates), seed) @ rates / len(rates)


@lru_cache(maxsize=32)
def _counts(count: int, seed: int) -> NDArray[np.float64]:
    """How often each of `count` problems is drawn, resample by resample."""
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return drawn.astype(float)
