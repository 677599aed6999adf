"""A reward from its text in a configuration: `accuracy`, `accuracy + 0.5*overlong(cache=500)`, or `module:function`."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import math
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.grading.rewards import REWARDS, Reward, Rewards
from oneshot_rlvr.problems import Problem

if TYPE_CHECKING:
    from oneshot_rlvr.grading.grade import Response

WHERE = "algorithm.reward"
_TERM = re.compile(
    r"\s*([+-]?)\s*(?:(\d+\.?\d*|\.\d+)\s*\*\s*)?([\w.]+(?::\w+)?|:\w+)\s*(?:\(([^()]*)\))?\s*(?=[+-]|$)"
)


def get_reward(text: str, **defaults: object) -> Reward:
    """The reward that a text names: one, or a weighted sum, each with options in parentheses.

    `defaults` are given to every reward of ours that has such an option and was not given it (the run's `seed` and
    `max_tokens`).

    Raises:
        OneshotError: an unknown name or option, a module that does not import, or no such function in it.
    """
    terms, position = [], 0
    while position < len(text) or not terms:
        match = _TERM.match(text, position)
        if match is None or match.end() == position or (position and not match[1]):
            raise OneshotError(
                f"cannot read {text!r}", where=WHERE, fix="Write name, name(option=value), or 1.0*name + 0.5*name."
            )
        weight = float(match[2] or 1) * (-1 if match[1] == "-" else 1)
        terms.append((weight, _reward(match[3], match[4] or "", defaults)))
        position = match.end()
    if len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]
    return functools.partial(_weighted_sum, terms=terms)


def _weighted_sum(problem: Problem, responses: Sequence[Response], *, terms: list[tuple[float, Reward]]) -> Rewards:
    """The sum over terms; None as soon as one of them is None."""
    columns = zip(*(reward(problem, responses) for _, reward in terms), strict=True)
    weights = [weight for weight, _ in terms]
    return [
        None if None in column else sum(w * v for w, v in zip(weights, column, strict=True) if v is not None)
        for column in columns
    ]


def _reward(name: str, options: str, defaults: dict[str, object]) -> Reward:
    if ":" in name:
        if options:
            raise OneshotError("a reward of your own has no options here", where=WHERE, fix="Set them in its module.")
        return _imported(name)
    if name not in REWARDS:
        raise OneshotError(
            f"unknown reward {name!r}", where=WHERE, fix=f"{nearest(name, list(REWARDS))}, or give module:function."
        )
    function = REWARDS[name]
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    bound = {key: value for key, value in defaults.items() if key in known} | _options(name, options)
    for option in bound:
        if option not in known:
            raise OneshotError(
                f"{name} has no option {option!r}", where=WHERE, fix=f"It has: {', '.join(known) or 'none'}."
            )
    return functools.partial(function, **bound) if bound else function


def _options(name: str, text: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise ValueError
        return {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError):
        raise OneshotError(
            f"cannot read the options ({text}) of {name}", where=WHERE, fix="Write option=value, strings in quotes."
        ) from None


def _imported(name: str) -> Reward:
    module_name, _, function_name = name.partition(":")
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

    def reward(problem: Problem, responses: Sequence[Response]) -> Rewards:
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
