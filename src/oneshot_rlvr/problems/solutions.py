"""What a problem's solution is used for: its beginning as a hint in the question, the whole as a demonstration."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems.answers import after_hash, last_boxed
from oneshot_rlvr.problems.problem import Problem
from oneshot_rlvr.problems.templates import Template

Hinter = Callable[[Problem, float], str]
_HINTERS: dict[str, Hinter] = {}
# A step ends with a line, or with a sentence's full stop; never inside a formula's number.
_ANSWERS = (r"\boxed", r"\fbox", "####")
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
    steps = first_steps(problem.solution or "", fraction)
    return f"{problem.question}\n\nA solution begins so:\n{steps}\n" if steps else problem.question


def first_steps(solution: str, fraction: float) -> str:
    """The steps of a solution that begin within its first `fraction` of characters, never cut inside.

    Neither its last step nor one with a box or `####` is among them: a hint does not give the answer away.
    """
    ends = [match.start() for match in _STEP_END.finditer(solution)]
    begins = [0, *(match.end() for match in _STEP_END.finditer(solution))]
    answer = min((place for mark in _ANSWERS if (place := solution.find(mark)) >= 0), default=len(solution))
    within = [
        end
        for begin, end in zip(begins, ends, strict=False)  # the last step has no end here
        if begin < max(fraction * len(solution), 1) and end <= answer and solution[end:].strip()
    ]
    return solution[: max(within, default=0)].strip()


def informed(problem: Problem) -> Problem:
    """The problem, its question followed by its solution: what a teacher that knows the solution is asked.

    Problems of a source with hints of its own have all of the hint.

    Raises:
        OneshotError: it has no solution.
    """
    if problem.source in _HINTERS:
        return hinted(problem, 1.0)
    if not problem.solution:
        raise OneshotError(
            "a teacher is to be shown its solution, and it has none",
            where=f"problem {problem.id}",
            fix="Give the problems a column `solution`, or another algorithm.advantage.",
        )
    shown = f"A correct solution, for you alone:\n{problem.solution}\n\nNow solve the problem in your own words."
    return replace(problem, question=f"{problem.question}\n\n{shown}")


def demonstration(problem: Problem, template: Template) -> str:
    """A problem's solution as a response, the answer added where the solution does not give it.

    Raises:
        OneshotError: the problem has no solution.
    """
    if not problem.solution:
        raise OneshotError(
            "there is nothing to demonstrate: it has no solution",
            where=f"problem {problem.id}",
            fix="Give the problems a column `solution`, or another algorithm.collector.",
        )
    boxed = template.answer == "box"
    start = "" if (template.text or "\n")[-1].isspace() else " "
    answer = rf"The answer is \boxed{{{problem.answer}}}." if boxed else f"\n#### {problem.answer}"
    if template.think:
        return f"{start}{problem.solution}\n</think>\n{answer}"
    given = (last_boxed if boxed else after_hash)(problem.solution)
    return f"{start}{problem.solution}" if given else f"{start}{problem.solution} {answer}"
