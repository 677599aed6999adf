"""The selectors: each scores candidates [P], and the highest score comes first; None comes last."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from oneshot_rlvr.config import Registry
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.selection.candidates import Candidates
from oneshot_rlvr.selection.forecast import Forecaster, Tried
from oneshot_rlvr.selection.texts import tf_idf

SELECTORS = Registry("problem selector", "--by")

Scores = Sequence[float | None]
Share = Annotated[float, Field(ge=0, le=1)]


def variance(curve: Sequence[Fraction]) -> Fraction:
    """The population variance (ddof 0), exactly."""
    middle = average(curve)
    return average([(value - middle) ** 2 for value in curve])


def average(curve: Sequence[Fraction]) -> Fraction:
    """The mean, exactly."""
    return sum(curve, Fraction()) / len(curve)


@SELECTORS.register("std")
def std(candidates: Candidates) -> Scores:
    """Historical standard deviation of the training accuracy: the paper's ranking.

    Population (ddof 0), in floats as the released `compute_std.py` has it, whose rounding parts some equal ones:
    `variance` lets them tie. Source: arXiv 2504.20571, section 2.
    """
    return [float(np.std([visit.accuracy for visit in seen])) for seen in candidates.history()]


@SELECTORS.register("variance")
def by_variance(candidates: Candidates) -> Scores:
    """Historical variance of the training accuracy, of exact fractions: the order of `std`, but equal ones tie."""
    return [float(variance(curve)) for curve in candidates.curves()]


@SELECTORS.register("lim")
def lim(candidates: Candidates) -> Scores:
    """Alignment of a problem's curve with the pool's mean curve.

    1 - sum_k (s_k - m_k)^2 / sum_k (1 - m_k)^2 over the visits k that every problem has. Source: LIMR (2502.11886).
    """
    curves = candidates.curves()
    visits = min(len(curve) for curve in curves)
    table_PK = np.array([[float(value) for value in curve[:visits]] for curve in curves])
    mean_K = table_PK.mean(axis=0)
    room = ((1 - mean_K) ** 2).sum()
    return (1 - ((table_PK - mean_K) ** 2).sum(axis=1) / room).tolist() if room else [None] * len(curves)


@SELECTORS.register("half")
def half(candidates: Candidates) -> Scores:
    """Mean accuracy closest to one half."""
    return [-abs(float(average(curve) - Fraction(1, 2))) for curve in candidates.curves()]


@SELECTORS.register("window")
def window(candidates: Candidates, *, low: Share = 0.2, high: Share = 0.8) -> Scores:
    """Mean accuracy within a window: 1 inside, 0 outside."""
    return [float(low <= average(curve) <= high) for curve in candidates.curves()]


@SELECTORS.register("varied")
def varied(candidates: Candidates) -> Scores:
    """The zero-variance filter: 1 where the accuracy ever changed, else 0."""
    return [float(variance(curve) > 0) for curve in candidates.curves()]


@SELECTORS.register("hard")
def hard(candidates: Candidates) -> Scores:
    """The hardest first, by mean accuracy; those never solved come last."""
    return [-float(average(curve)) if any(curve) else None for curve in candidates.curves()]


@SELECTORS.register("easy")
def easy(candidates: Candidates) -> Scores:
    """The easiest first, by mean accuracy; those always solved come last."""
    return [float(average(curve)) if min(curve) < 1 else None for curve in candidates.curves()]


@SELECTORS.register("pair")
def pair(candidates: Candidates) -> Scores:
    """A hard and an easy problem, then the next of each, ...: the orders `hard` and `easy` in turn.

    Source: Beyond variance, arXiv 2602.03452.
    """
    orders = [order(scores(candidates)) for scores in (hard, easy)]
    return _in_order(candidates, list(dict.fromkeys(i for both in zip(*orders, strict=True) for i in both)))


@SELECTORS.register("disagreement")
def disagreement(candidates: Candidates) -> Scores:
    """Mean entropy of the answers (nats). Source: SGAC, arXiv 2605.01823. A released history does not have it."""
    return _recorded(candidates, "entropy")


@SELECTORS.register("faithful")
def faithful(candidates: Candidates) -> Scores:
    """Share of responses whose answer is the last number of their reasoning (faithfulness as text: 2604.18574)."""
    return _recorded(candidates, "faithful")


@SELECTORS.register("length")
def length(candidates: Candidates, *, of: Literal["question", "response"] = "question") -> Scores:
    """The longest first: questions by characters, or responses by their mean tokens."""
    if of == "response":
        return _recorded(candidates, "tokens")
    return [float(len(problem.question)) for problem in candidates.texts()]


@SELECTORS.register("shift")
def shift(candidates: Candidates) -> Scores:
    """The farthest move of the hidden state over one greedy response. Source: SHIFT, arXiv 2605.28631. Needs probes."""
    return [None if probe is None else probe.shift for probe in candidates.probed()]


@SELECTORS.register("gradient")
def by_gradient(candidates: Candidates) -> Scores:
    """The first step's gradient closest to the pool's mean one, by cosine. Needs probes.

    The idea is CROPI's (influence of a prompt's policy gradient, arXiv 2510.26491), on-policy and at the base alone.
    """
    return [None if probe is None else probe.gradient for probe in candidates.probed()]


@SELECTORS.register("burst")
def burst(candidates: Candidates) -> Scores:
    """The most points gained on held-out problems by the probe's short, fast burst of training. Needs probes."""
    return [None if probe is None else probe.moved for probe in candidates.probed()]


@SELECTORS.register("learned")
def learned(candidates: Candidates, *, fitted: str = "") -> Scores:
    """The highest forecast gain, by a file of `oneshot select fit`. Needs probes and the problems."""
    if not fitted:
        raise OneshotError("no forecast is named", where="--by", fix="Write learned(fitted='FILE').")
    found = list(zip(candidates.probed(), candidates.texts(), strict=True))
    tried = [Tried(probe, problem.question) for probe, problem in found if probe is not None]
    guesses = iter(Forecaster.read(fitted).predict(tried))
    return [None if probe is None else next(guesses).gain for probe, _ in found]


@SELECTORS.register("level")
def level(candidates: Candidates) -> Scores:
    """The highest level first, by the first number in it; problems without one come last."""
    found = [re.search(r"\d+", problem.level or "") for problem in candidates.texts()]
    return [None if match is None else float(match[0][:9]) for match in found]


@SELECTORS.register("random")
def at_random(candidates: Candidates, *, seed: int = 0) -> Scores:
    """An order by chance, the control."""
    draw = random.Random(seed)
    return [draw.random() for _ in range(len(candidates))]


@SELECTORS.register("diverse")
def diverse(candidates: Candidates, *, size: Annotated[int, Field(ge=2, le=6)] = 3) -> Scores:
    """k-centre: each is the farthest from those before it, by the cosine of its question's character n-grams.

    The first is the one closest to all (the highest sum of similarities). Weights: tf-idf. Greedy k-centre:
    Gonzalez (1985); for prompts: SHIFT's core set, arXiv 2605.28631.
    """
    vectors_PF = tf_idf([problem.question for problem in candidates.texts()], size)
    chosen = [int(np.argmax(vectors_PF @ vectors_PF.sum(axis=0)))]
    nearest_P = vectors_PF @ vectors_PF[chosen[0]]
    while len(chosen) < len(candidates):
        open_P = nearest_P.copy()
        open_P[chosen] = np.inf
        chosen.append(int(np.argmin(open_P)))
        nearest_P = np.maximum(nearest_P, vectors_PF @ vectors_PF[chosen[-1]])
    return _in_order(candidates, chosen)


def order(scores: Scores) -> list[int]:
    """Places from the highest score to the lowest; equal scores keep their order, and None comes last.

    On the stable sort depend the paper's labels of its 104 zero-variance problems.
    """
    return sorted(range(len(scores)), key=lambda place: math.inf if (s := scores[place]) is None else -s)


def _in_order(candidates: Candidates, places: Sequence[int]) -> Scores:
    ranks = {place: float(-rank) for rank, place in enumerate(places)}
    return [ranks[place] for place in range(len(candidates))]


def _recorded(candidates: Candidates, field: str) -> Scores:
    """The mean over visits of something that only runs record."""
    scores = []
    for seen in candidates.history():
        values = [getattr(visit, field) for visit in seen]
        if None in values:
            raise OneshotError(
                f"this history does not say {field}: it holds accuracies alone",
                where="--by",
                fix="Give a run folder as the history, or another selector.",
            )
        scores.append(sum(values) / len(values))
    return scores
