"""The one grammar by which a configuration names a unit, and the registries in which units are found.

    grpo                                   a unit of ours, by its name
    overlong(cache=500)                    with options: Python literals
    accuracy + 0.5*overlong(cache=500)     a weighted sum, where a sum makes sense
    mine:twice, mine:twice(scale=2)        a function of the user's own module

Advantages, surrogates, aggregations, penalties, rewards, collectors and samplers are all named so. Nothing is
evaluated: options are literals.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from oneshot_rlvr.errors import OneshotError, nearest

Function = TypeVar("Function", bound=Callable[..., Any])
LONGEST = 2_000  # characters of a text that names units
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_HEAD = re.compile(rf"\s*([+-]?)\s*(?:({_NUMBER})\s*\*\s*)?([A-Za-z_][\w.]*(?::[A-Za-z_]\w*)?)\s*")
_STRING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


@dataclass(frozen=True)
class Term:
    """One part of a text: `weight` times the unit `name` with its options."""

    weight: float
    name: str
    options: dict[str, Any]


def parse(text: str, where: str) -> list[Term]:
    """The terms that a text names.

    Raises:
        OneshotError: it cannot be read; `where` names the configuration key.
    """
    terms, position = [], 0
    while position < len(text) or not terms:
        head = _HEAD.match(text, position) if len(text) <= LONGEST else None
        if head is None or (terms and not head[1]):
            raise OneshotError(
                f"cannot read {text[:80]!r}", where=where, fix="Write name, name(option=value), or name + 0.5*name."
            )
        if not float(head[2] or 1) < 1e12:
            raise OneshotError(f"{head[2]} is too large a weight", where=where, fix="Keep it below 1e12.")
        options, position = _options(text, head.end(), head[3], where)
        terms.append(Term(float(head[2] or 1) * (-1 if head[1] == "-" else 1), head[3], options))
    return terms


def _options(text: str, start: int, name: str, where: str) -> tuple[dict[str, Any], int]:
    """The options in parentheses at `start`, if there are any, and where what follows begins."""
    if text[start : start + 1] != "(":
        return {}, start
    depth, position = 0, start
    while position < len(text):
        if string := _STRING.match(text, position):
            position = string.end()
            continue
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        position += 1
        if depth == 0:
            break
    inside = text[start:position]
    try:
        call = ast.parse(f"f{inside}", mode="eval").body
        if depth or not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise ValueError
        found = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise OneshotError(
            f"cannot read the options {inside[:80]} of {name}",
            where=where,
            fix="Write option=value, strings in quotes.",
        ) from None
    while text[position : position + 1].isspace():
        position += 1
    return found, position


@dataclass(frozen=True)
class Unit:
    """A function with its options bound; the user's own ones have a colon in their name.

    Raises, when called:
        OneshotError: the user's function raised something.
    """

    name: str
    function: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""

    def __call__(self, *args: Any) -> Any:
        if ":" not in self.name:
            return self.function(*args, **self.options)
        try:
            return self.function(*args, **self.options)
        except OneshotError:
            raise
        except Exception as error:  # the user's code, not ours
            if os.environ.get("ONESHOT_VERBOSE"):
                raise
            line = traceback.extract_tb(error.__traceback__)[-1]
            raise OneshotError(
                f"it raised {type(error).__name__}: {error} ({Path(line.filename).name}:{line.lineno})",
                where=f"{self.where} {self.name}",
                fix="Mend the function; ONESHOT_VERBOSE=1 shows its traceback.",
            ) from error

    def trait(self, name: str, otherwise: Any = None) -> Any:
        """An attribute of the function, such as `needs`; a callable one is asked with the options."""
        value = getattr(self.function, name, otherwise)
        return value(**self.options) if callable(value) else value

    def __str__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{self.name}({shown})" if shown else self.name


class Registry(Mapping[str, Callable[..., Any]]):
    """Units of one kind by name. `kind`, its plural and `where` (a configuration key) are for messages and docs."""

    def __init__(self, kind: str, where: str, plural: str | None = None) -> None:
        self.kind, self.where, self.plural = kind, where, plural or f"{kind}s"
        self._units: dict[str, Callable[..., Any]] = {}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._units[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._units)

    def __len__(self) -> int:
        return len(self._units)

    def register(self, name: str, **traits: Any) -> Callable[[Function], Function]:
        """A decorator that gives a function its name here; `traits` become its attributes."""

        def add(function: Function) -> Function:
            assert name not in self._units, f"two {self.plural} are called {name}"
            for trait, value in traits.items():
                setattr(function, trait, value)
            self._units[name] = function
            return function

        return add

    def unit(self, text: str, defaults: Mapping[str, Any] | None = None) -> Unit:
        """The one unit that a text names. `defaults` are given to units of ours that have such an option.

        Raises:
            OneshotError: an unreadable text, an unknown name or option, or a module that does not import.
        """
        terms = parse(text, self.where)
        if len(terms) > 1 or terms[0].weight != 1:
            raise OneshotError(f"{text!r} is a sum, and {self.plural} have none", where=self.where, fix="Name one.")
        return self._bound(terms[0], defaults or {})

    def sum(self, text: str, defaults: Mapping[str, Any] | None = None) -> list[tuple[float, Unit]]:
        """The weighted units that a text names; none of an empty text. Raises as `unit` does."""
        return [(term.weight, self._bound(term, defaults or {})) for term in (parse(text, self.where) if text else ())]

    def table(self) -> list[tuple[str, str, str]]:
        """(name, options with their defaults, the first sentence of the docstring) of every unit: for docs and help."""
        rows = []
        for name, function in self.items():
            options = ", ".join(
                f"{option.name}={option.default!r}"
                for option in _known_options(function).values()
                if option.default is not option.empty
            )
            first = (inspect.getdoc(function) or "").split("\n\n")[0]
            rows.append((name, options, " ".join(first.split())))
        return rows

    def _bound(self, term: Term, defaults: Mapping[str, Any]) -> Unit:
        if ":" in term.name:
            function, given = imported(term.name, self.where), {}
        elif term.name in self:
            function, given = self[term.name], defaults
        else:
            hint = nearest(term.name, list(self))
            raise OneshotError(
                f"unknown {self.kind} {term.name!r}", where=self.where, fix=f"{hint}, or give module:function."
            )
        known = _known_options(function)
        for option in term.options:
            if option not in known:
                raise OneshotError(
                    f"{term.name} has no option {option!r}",
                    where=self.where,
                    fix=f"It has: {', '.join(known) or 'none'}.",
                )
        inherited = {key: value for key, value in given.items() if key in known}
        own = {key: _checked(function, key, value, self.where) for key, value in term.options.items()}
        return Unit(term.name, function, inherited | own, self.where)


def _known_options(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What may be given in parentheses: parameters that are keywords alone, or have a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a builtin that does not say
        return {}
    return {
        p.name: p
        for p in parameters
        if p.kind is p.KEYWORD_ONLY or (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty)
    }


def _checked(function: Callable[..., Any], option: str, value: Any, where: str) -> Any:
    """An option's value as its annotation wants it."""
    try:
        adapter = TypeAdapter(typing.get_type_hints(function)[option])
    except (KeyError, NameError, TypeError, PydanticSchemaGenerationError):  # no annotation, or not one to check by
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise OneshotError(f"{option}={value!r}: {reason}", where=where, fix="Give another value.") from None


def imported(name: str, where: str) -> Callable[..., Any]:
    """The function `module:function`.

    Raises:
        OneshotError: the module does not import, or has no such function.
    """
    module_name, _, function_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:  # a module beside the user, as with `python -m`
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), function_name, None)
    except Exception as error:  # the user's module, not ours
        raise OneshotError(
            f"cannot import it ({type(error).__name__}: {error})",
            where=f"{where} {name}",
            fix="Run where the module is, or mend it.",
        ) from error
    if not callable(function):
        raise OneshotError(
            f"{module_name} has no function {function_name!r}", where=f"{where} {name}", fix="Check the spelling."
        )
    return function
