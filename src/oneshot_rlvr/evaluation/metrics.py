"""Metrics of one problem's responses: pass@k, maj@k; and what of a gain the box alone would explain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import comb

from oneshot_rlvr.grading.normalise import canonical
from oneshot_rlvr.grading.numbers import read_number
from oneshot_rlvr.runs import Score


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that one of k of n responses, drawn without replacement, is correct: 1 - C(n-c, k) / C(n, k).

    Unbiased for k <= n (Chen et al. 2021, arXiv 2107.03374, eq. 1).
    """
    assert 0 <= correct <= n
    assert 1 <= k <= n
    return 1.0 - comb(n - correct, k) / comb(n, k)


def majority(votes: Sequence[Hashable | None], correct: Sequence[bool]) -> float:
    """Whether the most frequent vote is correct, the mean over equals; None does not vote.

    `correct` belongs to the responses; a vote's share of correct ones counts, should equal votes be graded apart.
    """
    counts = Counter(vote for vote in votes if vote is not None)
    if not counts:
        return 0.0
    most = max(counts.values())
    winners = [vote for vote, count in counts.items() if count == most]
    right = Counter(vote for vote, good in zip(votes, correct, strict=True) if good)
    return sum(right[winner] / most for winner in winners) / len(winners)


def vote_of(extracted: str | None) -> Hashable | None:
    """What an answer counts as in a vote: its exact number, or its canonical spelling. The gold plays no part."""
    if not extracted:
        return None
    spelt = canonical(extracted)
    number = read_number(spelt)
    return spelt if number is None else number.value


def beyond_format(base: Score, after: Score) -> float | None:
    """What is left of a suite's gain when the box is accounted for, in points.

    Had the model learnt only to box, the responses boxed after would be as often right as the base's boxed ones:
    accuracy after - boxed fraction after x accuracy of the base's boxed responses. None where fewer than ten of the
    base's responses have a box: their accuracy is not known then.
    """
    if base.boxed * sum(base.outcomes.values()) < 10:
        return None
    return after.accuracy - after.boxed * base.boxed_accuracy
