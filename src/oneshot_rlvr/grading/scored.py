"""Problems of other libraries' sets, scored by these in processes that are killed when late (see `problems.adapters`).

One worker a set: it loads the library and makes the set once, before it is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading.pool import Program, Reply, WorkerPool
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.problems.adapters import FIXED_HASHES, Place, adapter_of

MOST_POOLS = 8  # sets whose worker stays
FIX = "Mend the set's name; or make the problems again, with this version of its library."
LONGEST = 100_000  # characters of a response that a scorer is given


@dataclass(frozen=True)
class Scoring:
    """A response to score: the problem and its place in its set, the text, and the answer that was found in it."""

    index: int
    question: str
    gold: str
    text: str
    answer: str | None


_pools: dict[tuple[str, float], WorkerPool] = {}
_lock = threading.Lock()


def score(problem: Problem, place: Place, responses: Sequence[tuple[str, str | None]], timeout: float) -> list[Reply]:
    """What the set's own scorer says of (text, answer) responses to one problem, in order.

    Raises:
        OneshotError: the set's library is not installed, cannot make it or score its own answer, or makes another
            problem at this place.
    """
    adapter_of(place.set)
    asked = [
        Scoring(place.index, problem.question, problem.answer, text[:LONGEST], answer) for text, answer in responses
    ]
    replies = _pool(place.set, timeout).ask(asked)
    for reply in replies:
        _refuse(place.set, reply)
    return replies


def _pool(name: str, timeout: float) -> WorkerPool:
    """A set's worker; that of the set that was asked for longest ago ends where there are too many."""
    ended = []
    with _lock:
        pool = _pools.pop((name, timeout), None)
        if pool is None:
            ready = partial(_refuse, name)
            pool = WorkerPool(timeout, 1, Program("oneshot_rlvr.grading.scored_worker", (name,), FIXED_HASHES, ready))
        _pools[name, timeout] = pool
        while len(_pools) > MOST_POOLS:
            ended.append(_pools.pop(next(iter(_pools))))
    for old in ended:
        old.close()
    return pool


def _refuse(name: str, reply: Reply) -> None:
    if reply.failed is not None:
        raise OneshotError(f"its scorer does not work: {reply.failed}", where=name, fix=FIX)
