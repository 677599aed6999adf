"""Reward functions: `reward(problem, responses) -> list[float | None]` for one group of responses to one problem.

A group rather than one response, so that rewards which compare responses (majority, length) need no other signature.
`None` means unscorable: the response leaves the group's baseline and gets no gradient.
"""

from __future__ import annotations

import importlib
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.problems.answers import last_boxed

if TYPE_CHECKING:
    from oneshot_rlvr.grading.grade import Response

Reward = Callable[[Problem, Sequence["Response"]], list[float | None]]


def accuracy(problem: Problem, responses: Sequence[Response]) -> list[float | None]:
    """1 for a correct answer, else 0 (the paper's outcome reward); None where the gold is unscorable."""
    return [None if r.outcome == "unscorable" else float(r.outcome == "correct") for r in responses]


def format_box(problem: Problem, responses: Sequence[Response]) -> list[float | None]:
    """1 for a balanced box that is not empty, whatever it holds (the paper's format control), else 0."""
    return [float(last_boxed(r.text) is not None) for r in responses]


REWARDS: dict[str, Reward] = {"accuracy": accuracy, "format": format_box}


def get_reward(name: str) -> Reward:
    """A reward by its registered name, or a user's own by import path `module:function`.

    Raises:
        OneshotError: unknown name, a module that does not import, or no such function in it.
    """
    if name in REWARDS:
        return REWARDS[name]
    module_name, colon, function_name = name.partition(":")
    if not colon:
        raise OneshotError(
            f"unknown reward {name!r}",
            where="algorithm.reward",
            fix=f"{nearest(name, list(REWARDS))}, or give module:function.",
        )
    if str(Path.cwd()) not in sys.path:  # a module beside the user, as with `python -m`
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name or "."), function_name, None)
    except Exception as error:  # the user's module, not ours
        raise OneshotError(
            f"cannot import it ({type(error).__name__}: {error})",
            where=f"reward {name}",
            fix="Run where the module is, or mend it.",
        ) from error
    if not callable(function):
        raise OneshotError(
            f"{module_name} has no function {function_name!r}", where=f"reward {name}", fix="Check the spelling."
        )
    return _checked(function, name)


def _checked(function: Callable, name: str) -> Reward:
    """Wrap a user's function so that its mistakes are named: an exception, a wrong length, no number."""

    def reward(problem: Problem, responses: Sequence[Response]) -> list[float | None]:
        where = f"reward {name}, problem {problem.id}"
        try:
            values = list(function(problem, responses))
        except Exception as error:  # the user's code, not ours
            line = traceback.extract_tb(error.__traceback__)[-1]
            at = f"{Path(line.filename).name}:{line.lineno}"
            raise OneshotError(
                f"it raised {type(error).__name__}: {error} ({at})", where=where, fix="Mend the function."
            ) from error
        if len(values) != len(responses):
            raise OneshotError(
                f"it returned {len(values)} rewards for {len(responses)} responses", where=where, fix="Return one each."
            )
        for value in values:
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise OneshotError(f"{value!r} is no reward", where=where, fix="Return finite numbers, or None.")
        return [None if value is None else float(value) for value in values]

    return reward
