"""Which selector predicts the one-shot gain: problems over a ranking, and rank correlations with what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.selection.candidates import Candidates
from oneshot_rlvr.selection.ranking import Ranked, rank, spearman
from oneshot_rlvr.selection.selectors import SELECTORS


def spread(ranking: Sequence[Ranked], count: int) -> list[Ranked]:
    """`count` problems at equal steps over a ranking, its first and last among them, as the paper's Table 3 has them.

    Raises:
        OneshotError: more than there are.
    """
    if not 2 <= count <= len(ranking):
        raise OneshotError(
            f"cannot spread {count} problems over {len(ranking)}", where="--problems", fix="Give 2 to all of them."
        )
    return [ranking[round(place)] for place in np.linspace(0, len(ranking) - 1, count)]


def predictions(candidates: Candidates, gains: Mapping[int, float]) -> dict[str, dict[str, Any]]:
    """Each selector's Spearman correlation with the gains (by index, in points), and its 95 % interval, best first.

    The interval is the bootstrap's, over problems. Selectors that cannot score these candidates, or score all
    alike, say why. A problem without a score has the lowest.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in SELECTORS:
        try:
            scores = {row.index: row.score for row in rank(candidates, name)}
        except OneshotError as error:
            found[name] = {"spearman": None, "why": str(error)}
            continue
        lowest = min((score for score in scores.values() if score is not None), default=0.0) - 1
        asked = [lowest if (score := scores[index]) is None else score for index in gains]
        correlation, interval = correlated(asked, list(gains.values()))
        known = {"spearman": correlation, "interval": interval}
        found[name] = known if correlation is not None else {"spearman": None, "why": "it scores all of them alike"}
    return dict(sorted(found.items(), key=lambda item: -(item[1]["spearman"] or -2)))


def correlated(
    a: Sequence[float], b: Sequence[float], resamples: int = 1_000, seed: int = 0
) -> tuple[float | None, list[float] | None]:
    """Spearman's correlation of two lists and its 95 % interval, by resampling pairs; None where one is constant."""
    correlation = spearman(a, b)
    if correlation is None:
        return None, None
    draw, pairs_P2 = np.random.default_rng(seed), np.stack([a, b], axis=1)
    drawn = (pairs_P2[draw.integers(0, len(a), len(a))].T for _ in range(resamples))
    again = [value for one in drawn if (value := spearman(*one)) is not None]
    return correlation, [float(end) for end in np.percentile(again, [2.5, 97.5])]


def reliability(by_seed: Sequence[Sequence[float]]) -> float | None:
    """The mean Spearman correlation of the gains [P, seeds] of two seeds: what a perfect forecast could reach."""
    seeds = list(zip(*by_seed, strict=True))
    found = [spearman(a, b) for place, a in enumerate(seeds) for b in seeds[place + 1 :]]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None
