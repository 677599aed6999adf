"""A question with the beginning of its solution: what is asked again when every rollout failed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems.problem import Problem

Hinter = Callable[[Problem, float], str]
_HINTERS: dict[str, Hinter] = {}
# A step ends with a line, or with a sentence's full stop; never inside a formula's number.
_STEP_END = re.compile(r"\n+|(?<=[.!?])\s+")


def register_hints(source: str, hinter: Hinter) -> None:
    """Let problems of a source be asked in their own way: `hinter(problem, fraction)` gives the hinted question."""
    _HINTERS[source] = hinter


def hinted(problem: Problem, fraction: float) -> Problem:
    """The problem, its question followed by the first `fraction` of its solution.

    Raises:
        OneshotError: it has no solution.
    """
    if not problem.solution:
        raise OneshotError(
            "a hint is the beginning of a solution, and it has none",
            where=f"problem {problem.id}",
            fix="Give the problems a column `solution`, or another algorithm.collector.",
        )
    hinter = _HINTERS.get(problem.source, _beginning)
    return replace(problem, question=hinter(problem, fraction))


def _beginning(problem: Problem, fraction: float) -> str:
    return f"{problem.question}\n\nA solution begins so:\n{first_steps(problem.solution or '', fraction)}\n"


def first_steps(solution: str, fraction: float) -> str:
    """The steps of a solution that begin within its first `fraction` of characters: one at least, never cut inside."""
    ends = [match.start() for match in _STEP_END.finditer(solution)] + [len(solution)]
    begins = [0, *(match.end() for match in _STEP_END.finditer(solution))]
    within = [end for begin, end in zip(begins, ends, strict=True) if begin < fraction * len(solution)]
    return solution[: max(within, default=ends[0])].strip()
