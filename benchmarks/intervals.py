"""How often 95 % intervals hold the truth, and how often the paired test errs, by simulation.

    python benchmarks/intervals.py --json results/intervals.json

Problems n in 30, 128, 500; rates 0.05, 0.3, 0.9; one response a problem, or eight of problems whose own rates differ
much (Beta with 0.8 pseudo-counts: most near 0 or 1) or not at all. The paired test compares two samples of eight of the
same problems. Intervals over training seeds: two, three or five seeds whose own means vary by 0, 3 or 10 points, and
gains over a base asked once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oneshot_rlvr.evaluation.statistics import interval_over_seeds, mean_interval, paired_difference
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


def seeds_cell(seeds: int, n: int, spread: float, trials: int) -> dict[str, float | int]:
    """Coverage and width of an interval over training seeds, of a level and of a gain over a base."""
    everyone = np.clip(RANDOM.normal(0.5, 0.3, 200_000), 0.05, 0.95)
    base, moved = everyone - 0.05, np.clip(everyone + RANDOM.normal(0, spread, len(everyone)), 0, 1)
    true = {"level": float(moved.mean()), "gain": float(moved.mean() - base.mean())}
    found = {"level_coverage": 0.0, "gain_coverage": 0.0, "level_width": 0.0, "gain_width": 0.0}
    for _ in range(trials):
        rates = np.clip(RANDOM.normal(0.5, 0.3, n), 0.05, 0.95)
        by_seed = [
            {"all": (RANDOM.binomial(4, np.clip(rates + RANDOM.normal(0, spread), 0, 1)) / 4).tolist()}
            for _ in range(seeds)
        ]
        minus = [{"all": (RANDOM.binomial(4, rates - 0.05) / 4).tolist()}] * seeds
        ends = {"level": interval_over_seeds(by_seed), "gain": interval_over_seeds(by_seed, minus)}
        for name, (low, high) in ends.items():
            found[f"{name}_coverage"] += (low <= true[name] <= high) / trials
            found[f"{name}_width"] += (high - low) / trials
    return {"seeds": seeds, "n": n, "spread": spread} | {name: round(value, 4) for name, value in found.items()}


def six_suites_cell(gain: float, trials: int) -> dict[str, float]:
    """Coverage and width of the paired interval over suites as large and as hard as the paper's: AIME has thirty."""
    sizes, levels = (500, 30, 40, 272, 675, 30), (0.5, 0.05, 0.3, 0.2, 0.2, 0.03)
    everyone = [RANDOM.beta(0.8 * p, 0.8 * (1 - p), 200_000) for p in levels]
    true = float(np.mean([(np.minimum(1, rates + gain * rates) - rates).mean() for rates in everyone]))
    covered, width = 0, 0.0
    for _ in range(trials):
        before, after = [], []
        for rates, n in zip(everyone, sizes, strict=True):
            own = RANDOM.choice(rates, n)
            before.append((RANDOM.binomial(8, own) / 8).tolist())
            after.append((RANDOM.binomial(8, np.minimum(1, own + gain * own)) / 8).tolist())
        low, high = paired_difference(before, after).interval
        covered += low <= true <= high
        width += (high - low) / trials
    return {"gain": gain, "coverage": covered / trials, "width": round(width, 4)}


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
    over_seeds = [
        seeds_cell(seeds, n, spread, options.trials // 5)
        for seeds in (2, 3, 5)
        for n in (30, 128, 500)
        for spread in (0.0, 0.03, 0.1)
    ]
    six = [six_suites_cell(gain, options.trials // 10) for gain in (0.0, 0.3)]
    paired = {"false_positives": wrong / trials, "trials": trials}
    write(
        {
            "cells": cells,
            "over_seeds": over_seeds,
            "six_suites": six,
            "paired": paired,
            "trials": options.trials,
            "seed": 0,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
