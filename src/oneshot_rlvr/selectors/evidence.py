"""How a selector's belief in a path grows as it is read: token by token for probes, step by step for verifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from oneshot_rlvr.problems import Problem
from oneshot_rlvr.selectors.base import Selector
from oneshot_rlvr.selectors.calibration import Calibration
from oneshot_rlvr.selectors.linear import Linear
from oneshot_rlvr.selectors.measure import Reader, Reading
from oneshot_rlvr.selectors.paths import ReasoningPath
from oneshot_rlvr.selectors.verifier import Verifier

_STEP = re.compile(r"[^\n]*?(?:(?<=[.;:!?])(?=\s)|\n|$)")  # a sentence, or a line


@dataclass(frozen=True)
class Belief:
    """The probability that a path is right, having read it up to a place in its text."""

    end: int
    probability: float


def steps_of(text: str) -> list[tuple[int, int]]:
    """Where each sentence or line of a text begins and ends; what is blank belongs to the one before.

    >>> steps_of("3 + 4 = 7. So 7.5 is it.")
    [(0, 10), (10, 24)]
    """
    ends = [found.end() for found in _STEP.finditer(text) if found.group().strip()]
    return list(pairwise([0, *ends]))


def beliefs(
    selector: Selector, calibration: Calibration, reader: Reader | None, problem: Problem, path: ReasoningPath
) -> list[Belief]:
    """How the probability changes along a path; nothing for selectors that look at the group, or read no path.

    A probe that was trained on whole paths is asked of their beginnings too: what it says is a lead, not a proof.
    """
    if isinstance(selector, Verifier):
        ends = [end for _, end in steps_of(path.text)]
        parts = [replace(path, text=path.text[:end]) for end in ends]
    elif isinstance(selector, Linear) and selector.pathwise and selector.reads and reader is not None:
        pieces = reader.tokens(path.text)
        (reading,) = reader.read(problem, [path.text])
        count = len(reading.logprobs_T)
        ends = np.cumsum([len(piece) for piece in pieces[:count]]).tolist()
        parts = [_beginning(path, reading, place + 1, end) for place, end in enumerate(ends)]
    else:
        return []
    if not parts:
        return []
    scores = selector.scores(problem, parts)
    return [Belief(end, calibration.probability(score)) for end, score in zip(ends, scores, strict=True)]


def first_doubt(text: str, along: Sequence[Belief]) -> dict[str, Any] | None:
    """The step from which on the path is believed wrong to its end; None where it is believed in at its end."""
    if not along or along[-1].probability >= 0.5:
        return None
    believed = [place for place, belief in enumerate(along) if belief.probability >= 0.5]
    first = along[believed[-1] + 1 if believed else 0]
    spans = steps_of(text)
    if not spans:
        return None
    number = next((place for place, (_, end) in enumerate(spans) if first.end <= end), len(spans) - 1)
    start, end = spans[number]
    return {"step": number + 1, "text": text[start:end], "end": first.end, "probability": first.probability}


def _beginning(path: ReasoningPath, reading: Reading, count: int, end: int) -> ReasoningPath:
    """A path as if it ended after `count` tokens; its answer stays known."""
    return replace(
        path,
        text=path.text[:end],
        logprobs=tuple(reading.logprobs_T[:count].tolist()),
        entropies=tuple(reading.entropies_T[:count].tolist()),
        certainty=float(reading.certainty_T[:count].mean()),
        state=reading.states_TH[count - 1],
    )
