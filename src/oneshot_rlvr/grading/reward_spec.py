"""A reward from its text in a configuration: `accuracy`, `accuracy + 0.5*overlong(cache=500)`, or `module:function`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Real

from oneshot_rlvr.config import Unit
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading.rewards import REWARDS, Reward, Rewards
from oneshot_rlvr.grading.types import Response
from oneshot_rlvr.problems import Problem


def get_reward(text: str, **defaults: object) -> Reward:
    """The reward that a text names: one, or a weighted sum, each with options in parentheses.

    `defaults` are given to every reward of ours that has such an option and was not given it (the run's `seed` and
    `max_tokens`).

    Raises:
        OneshotError: an unknown name or option, a module that does not import, or no such function in it.
    """
    terms = [(weight, _of_unit(unit)) for weight, unit in REWARDS.sum(text or " ", defaults)]
    if len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]

    def weighted_sum(problem: Problem, responses: Sequence[Response]) -> Rewards:
        columns = zip(*(reward(problem, responses) for _, reward in terms), strict=True)
        weights = [weight for weight, _ in terms]
        return [
            None if None in column else sum(w * v for w, v in zip(weights, column, strict=True) if v is not None)
            for column in columns
        ]

    return weighted_sum


def of_function(function: Callable[..., Rewards]) -> Reward:
    """A user's own function as a reward, with its mistakes named."""
    return _of_unit(Unit(name_of(function), function, where=REWARDS.where))


def name_of(function: Callable[..., Rewards]) -> str:
    """How a user's function is called in a configuration: `module:function`, or the module and class of an object."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def _of_unit(unit: Unit) -> Reward:
    """A reward; a user's own has its result checked: one finite number or None for each response."""
    if ":" not in unit.name:
        return unit

    def reward(problem: Problem, responses: Sequence[Response]) -> Rewards:
        where = f"reward {unit.name}, problem {problem.id}"
        returned = unit(problem, responses)
        values = list(returned) if isinstance(returned, Iterable) else []
        if len(values) != len(responses):
            count = len(values) if isinstance(returned, Iterable) else repr(returned)
            raise OneshotError(
                f"it returned {count} rewards for {len(responses)} responses", where=where, fix="Return one each."
            )
        for value in values:
            if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
                raise OneshotError(f"{value!r} is no reward", where=where, fix="Return finite numbers, or None.")
        return [None if value is None else float(value) for value in values]

    return reward
