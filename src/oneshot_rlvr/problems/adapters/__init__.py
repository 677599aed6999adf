"""Other libraries' tasks as problems: `rg:chain_sum?size=200&seed=1`, `lm:gsm8k?size=50`. One file a library.

Such a problem is graded by its library's own scorer, never by its gold: many answers may be right. The problem holds
the name of its set and its place in it, nothing more; the scorer makes the task again from these, so that no file
brings data of its own into it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import parse_qsl

from oneshot_rlvr.errors import OneshotError, first_line
from oneshot_rlvr.problems.problem import Problem

SCORED = "scored_by"  # in a problem's `extra`
MOST = 1_000_000  # problems of a set
LONGEST_NAME = 1_000  # characters
FIXED_HASHES = {"PYTHONHASHSEED": "0"}  # in the environment of processes that make a set


class Opinion(NamedTuple):
    """A scorer's: 0 to 1, and the answer that it read where it looks for that itself."""

    score: float
    answer: str | None = None

    @classmethod
    def of(cls, score: float, answer: str | None = None) -> Opinion:
        """A library's score, cut to 0 to 1; what is no number is 0."""
        return cls(min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0, answer)


class ForeignSet(Protocol):
    """A set whose problems and scores another library makes."""

    def __len__(self) -> int: ...

    def problem(self, index: int) -> Problem: ...

    def score(self, index: int, text: str, answer: str | None) -> Opinion:
        """Of a response to the problem at a place in the set; `answer` is what our extraction found in it."""
        ...

    def check(self) -> None:
        """Score the first problem's own gold; raises what the library raises."""
        ...


@dataclass(frozen=True)
class Adapter:
    """A library: our module for it, its package and our extra, and what of a response its scorers read.

    `by_hashes`: some of its tasks are other ones where Python's string hashes are others.
    """

    module: str
    package: str
    extra: str
    reads: Literal["answer", "response"]
    by_hashes: bool = False


ADAPTERS = {
    "rg": Adapter("reasoning_gym", "reasoning_gym", "gym", reads="answer", by_hashes=True),
    "lm": Adapter("lm_eval", "lm_eval", "lm-eval", reads="response"),
}


class Place(NamedTuple):
    """Where a foreign problem comes from."""

    set: str
    index: int


def is_foreign(name: str) -> bool:
    """Whether a set's name is of another library."""
    prefix, colon, rest = name.partition(":")
    return bool(colon and rest) and prefix in ADAPTERS


def adapter_of(name: str) -> Adapter:
    """The library of a foreign set.

    Raises:
        OneshotError: it is not installed.
    """
    adapter = ADAPTERS[name.partition(":")[0]]
    if importlib.util.find_spec(adapter.package) is None:
        fix = f"pip install 'oneshot-rlvr[{adapter.extra}]'."
        raise OneshotError(f"the package {adapter.package!r} is not installed", where=name, fix=fix)
    return adapter


def open_set(name: str) -> ForeignSet:
    """A foreign set, its library imported.

    Raises:
        OneshotError: the library is not installed, or has no such task or option.
    """
    return importlib.import_module(adapters_module(name)).open_set(name)


def adapters_module(name: str) -> str:
    """The module of ours that serves a foreign set.

    Raises:
        OneshotError: its library is not installed.
    """
    return f"{__name__}.{adapter_of(name).module}"


def foreign_problems(name: str) -> list[Problem]:
    """The problems of a foreign set, each with its place in it: the same in every process.

    Raises:
        OneshotError: as `open_set`; or the library cannot make them.
    """
    found = open_set(name)
    if adapter_of(name).by_hashes:
        return [Problem(**json.loads(line)) for line in _made_apart(name).split("\n")[:-1]]
    try:
        return all_of(found)
    except Exception as error:  # the library's own
        raise cannot(name, first_line(error)) from error


def all_of(found: ForeignSet) -> list[Problem]:
    """Every problem of a set, in order."""
    return [found.problem(index) for index in range(len(found))]


@functools.lru_cache(maxsize=16)
def _made_apart(name: str) -> str:
    """A set's problems as jsonl, by a process with `FIXED_HASHES`: some tasks go through sets of strings."""
    command = [sys.executable, "-P", "-m", f"{__name__}.make", str(os.getpid()), name]
    made = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | FIXED_HASHES, check=False)
    if made.returncode:
        raise cannot(name, made.stdout or f"its process ended with {made.returncode}")
    return made.stdout


def cannot(name: str, reason: str) -> OneshotError:
    """What a user is told where a library cannot make a set."""
    return OneshotError(f"its library cannot make it so: {reason}", where=name, fix="Change its options or its data.")


def place_of(problem: Problem) -> Place | None:
    """Where a problem of a foreign set stands in it; None for any other.

    Raises:
        OneshotError: what the problem says of it is none.
    """
    said = problem.extra.get(SCORED)
    if said is None:
        return None
    name, index = (said.get("set"), said.get("index")) if isinstance(said, dict) else (None, None)
    known = isinstance(name, str) and len(name) <= LONGEST_NAME and name.isprintable() and is_foreign(name)
    if not (known and type(index) is int and 0 <= index < MOST):
        raise OneshotError(
            f"its {SCORED!r} names no scorer",
            where=f"problem {problem.id}",
            fix=f'Give {{"set": "{next(iter(ADAPTERS))}:TASK", "index": 0}}, or take it out.',
        )
    assert isinstance(name, str)
    return Place(name, index)


def task_and_options(name: str) -> tuple[str, dict[str, Any]]:
    """`rg:chain_sum?size=200` as its task and options; values are JSON where they can be, else text."""
    task, _, options = name.partition(":")[2].partition("?")
    return task, {key: _value(text) for key, text in parse_qsl(options, keep_blank_values=True)}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def whole(name: str, option: str, value: object, least: int, most: int = MOST) -> int:
    """An option that must be a whole number.

    Raises:
        OneshotError: it is not, or is out of bounds.
    """
    if type(value) is not int or not least <= value <= most:
        raise OneshotError(f"{option}={value} is no whole number from {least} to {most}", where=name, fix="Change it.")
    return value
