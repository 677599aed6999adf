"""The organism: a tiny model, a world of arithmetic problems, and how both are made.

A guest in this package: importing it makes its weights, problem sets and hints known to rooms that do not know its
name. No torch here.
"""

from __future__ import annotations

import json
from pathlib import Path

from oneshot_rlvr.config.known import register_model
from oneshot_rlvr.problems import Problem, register_hints, register_ranking, register_sets

SOURCE = "organism"
BETWEEN = "<|endoftext|>"  # of an author's answer and the next question in the pretraining text
DATA = Path(__file__).parent / "data"
FORECAST = DATA / "forecast.json"  # of a problem's gain, fitted on this model
WEIGHTS = Path(__file__).parent / "weights"


def suites() -> list[str]:
    """The names of the six held-out suites."""
    return [f"{SOURCE}:{path.stem.removeprefix('suite-')}" for path in sorted(DATA.glob("suite-*.jsonl"))]


def hinted_question(problem: Problem, fraction: float) -> str:
    """A question with a hint as the pretraining text has it: the first steps of the solution, never its last.

    `extra["hint"]` is the first of them, and for some families not among the solution's.
    """
    steps = [step.rstrip(".") for step in (problem.solution or "").split(". ")]
    first = problem.extra.get("hint", steps[0])
    steps = [first, *steps[first == steps[0] : -1]]
    if first == (problem.solution or "").rstrip("."):  # one step, which is the answer
        return problem.question
    return f"{problem.question} Hint: {'. '.join(steps[: max(1, int(fraction * (len(steps) + 1)))])}."


def register() -> None:
    """Make everything known."""
    for folder in sorted(WEIGHTS.iterdir()):
        register_model(folder.name, folder)
    sets = {SOURCE: DATA / "pool.jsonl"}
    sets |= {f"{SOURCE}:{path.stem.removeprefix('suite-')}": path for path in sorted(DATA.glob("*.jsonl"))}
    register_sets(SOURCE, sets, suites())
    register_ranking(SOURCE, json.loads((DATA / "ranking.json").read_text(encoding="utf-8"))["ids"])
    register_hints(SOURCE, hinted_question)


register()
