"""How often 95 % intervals hold the truth, and how often the paired test errs, by simulation.

    python benchmarks/intervals.py --json results/intervals.json

Problems n in 30, 128, 500; rates 0.05, 0.3, 0.9; one response a problem, or eight of problems whose own rates differ
much (Beta with 0.8 pseudo-counts: most near 0 or 1) or not at all. The paired test compares two samples of eight of the
same problems.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oneshot_rlvr.evaluation.statistics import mean_interval, paired_difference
from outcome import write

Rates = NDArray[np.float64]
RANDOM = np.random.default_rng(0)


def binary(n: int, rate: float) -> Rates:
    """One response a problem."""
    return RANDOM.binomial(1, rate, n).astype(float)


def eight_mixed(n: int, rate: float) -> Rates:
    """Eight responses of problems that are mostly solved always or never."""
    return RANDOM.binomial(8, RANDOM.beta(0.8 * rate, 0.8 * (1 - rate), n)) / 8


def eight_alike(n: int, rate: float) -> Rates:
    """Eight responses of problems that are equally hard."""
    return RANDOM.binomial(8, rate, n) / 8


def cell(draw: Callable[[int, float], Rates], n: int, rate: float, trials: int) -> dict[str, float | str | int]:
    """Coverage and mean width."""
    covered, width = 0, 0.0
    for _ in range(trials):
        low, high = mean_interval(draw(n, rate).tolist())
        covered += low - 1e-12 <= rate <= high + 1e-12
        width += high - low
    return {
        "kind": draw.__name__,
        "n": n,
        "rate": rate,
        "coverage": covered / trials,
        "width": round(width / trials, 4),
    }


def main() -> None:
    """Run, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--trials", type=int, default=5000)
    options = parser.parse_args()
    cells = [
        cell(draw, n, rate, options.trials)
        for draw in (binary, eight_mixed, eight_alike)
        for n in (30, 128, 500)
        for rate in (0.05, 0.3, 0.9)
    ]
    wrong, trials = 0, options.trials // 2
    for trial in range(trials):
        rates = RANDOM.beta(0.4, 0.6, 128)
        a, b = (RANDOM.binomial(8, rates) / 8 for _ in range(2))
        wrong += paired_difference([a.tolist()], [b.tolist()], seed=trial).p_value <= 0.05
    paired = {"false_positives": wrong / trials, "trials": trials}
    write({"cells": cells, "paired": paired, "trials": options.trials, "seed": 0}, options.json)


if __name__ == "__main__":
    main()
