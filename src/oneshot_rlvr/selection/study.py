"""Which selector predicts the one-shot gain: problems over a ranking, and rank correlations with what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.selection.candidates import Candidates
from oneshot_rlvr.selection.ranking import Ranked, rank, scores_of, spearman, spearmans
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
    """Each selector's Spearman correlation with the gains (by index, in points), its 95 % interval, p; best first.

    The interval is the bootstrap's, over problems, of that selector alone. `p_value` is of all selectors together:
    how often the largest correlation of any, without its sign, is this large where the gains are shuffled (the maxT
    of Westfall and Young, 1993); so the best of many is not taken for more than it is. Selectors that cannot score
    these candidates, or score all alike, say why.
    """
    found: dict[str, dict[str, Any]] = {}
    scored: dict[str, list[float]] = {}
    for name in SELECTORS:
        try:
            scores = scores_of(rank(candidates, name))
        except OneshotError as error:
            found[name] = {"spearman": None, "why": str(error)}
            continue
        values = [scores[index] for index in gains]
        correlation, interval = correlated(values, list(gains.values()))
        if correlation is None:
            found[name] = {"spearman": None, "why": "it scores all of them alike, or the gains are"}
            continue
        found[name], scored[name] = {"spearman": correlation, "interval": interval}, values
    largest_R = largest_by_chance(list(scored.values()), list(gains.values()))
    for name in scored:
        found[name]["p_value"] = float(np.mean(largest_R >= abs(found[name]["spearman"]) - 1e-9))
    return dict(sorted(found.items(), key=lambda item: -2 if (s := item[1]["spearman"]) is None else s, reverse=True))


def correlated(
    a: Sequence[float], b: Sequence[float], resamples: int = 1_000, seed: int = 0
) -> tuple[float | None, list[float] | None]:
    """Spearman's correlation of two lists and its 95 % interval, by resampling pairs; None where one is constant."""
    correlation = spearman(a, b)
    if correlation is None:
        return None, None
    draw, pairs_P2 = np.random.default_rng(seed), np.stack([a, b], axis=1)
    drawn_RP2 = pairs_P2[draw.integers(0, len(a), (resamples, len(a)))]
    again_R = spearmans(drawn_RP2[..., 0], drawn_RP2[..., 1])
    return correlation, [float(end) for end in np.percentile(again_R[~np.isnan(again_R)], [2.5, 97.5])]


def largest_by_chance(
    scores: Sequence[Sequence[float]], gains: Sequence[float], shuffles: int = 2_000, seed: int = 0
) -> np.ndarray:
    """The largest size of a correlation of any scores with shuffled gains, of each shuffle, and unshuffled [1 + R]."""
    draw, gains_P = np.random.default_rng(seed), np.asarray(gains, float)
    shuffled_RP = np.stack([gains_P, *(draw.permutation(gains_P) for _ in range(shuffles))])
    found_R = np.zeros(1 + shuffles)
    for values in scores:
        again_R = spearmans(np.broadcast_to(np.asarray(values, float), shuffled_RP.shape), shuffled_RP)
        found_R = np.maximum(found_R, np.abs(again_R))
    return found_R


def skill_of_left_out(guesses: Sequence[float], gains: Sequence[float]) -> tuple[float | None, list[float] | None]:
    """Spearman's correlation with its 95 % interval of leave-one-out guesses, each less the mean of the others' gains.

    The guess alone falls as the gain left out rises, since it is fitted on the others: where nothing can be learned it
    would be nearly the others' mean, whose correlation with the gain is -1.
    """
    total = sum(gains)
    beyond = [guess - (total - gain) / (len(gains) - 1) for guess, gain in zip(guesses, gains, strict=True)]
    return correlated(beyond, gains)


def root_mean_square(errors: Sequence[float]) -> float:
    """Of errors in points."""
    return math.sqrt(sum(error**2 for error in errors) / len(errors))


def error_of_the_mean(gains: Sequence[float]) -> float:
    """How far off one is who guesses each gain to be the mean of the others."""
    total = sum(gains)
    return root_mean_square([gain - (total - gain) / (len(gains) - 1) for gain in gains])


def agreement_of_seeds(by_seed: Sequence[Sequence[float]]) -> float | None:
    """The mean Spearman correlation of the gains [P, seeds] of two seeds; None of one seed."""
    seeds = list(zip(*by_seed, strict=True))
    found = [spearman(a, b) for place, a in enumerate(seeds) for b in seeds[place + 1 :]]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None


def ceiling(agreement: float | None, seeds: int) -> float | None:
    """About how far any forecast can correlate with gains averaged over seeds, of which two agree so far.

    The root of the average's reliability, k r / (1 + (k - 1) r) (Spearman and Brown, 1910). None where it is not known.
    """
    if agreement is None or agreement <= 0:
        return None
    return math.sqrt(seeds * agreement / (1 + (seeds - 1) * agreement))
