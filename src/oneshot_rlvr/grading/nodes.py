"""The small tree that an answer is read as (`structure.py`) and compared as (`compare.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from oneshot_rlvr.grading.numbers import Number


@dataclass(frozen=True)
class Expression:
    """One value: its text without unit and base, and its exact number where it plainly is one."""

    text: str
    number: Number | None = None
    unit: str = ""
    base: str = ""


@dataclass(frozen=True)
class Words:
    """A name, a phrase, or a sentence; compared without case, articles and punctuation."""

    text: str


@dataclass(frozen=True)
class Choice:
    """A letter that was marked as a choice, `(C)` or `\\text{C}`, with the value after it if there is one."""

    letter: str
    value: Node | None = None


@dataclass(frozen=True)
class Ordered:
    """A tuple, vector or interval with its brackets; an inequality reads as an interval, with its variable's name."""

    brackets: str
    items: tuple[Node, ...]
    name: str = ""
    interval: bool = False  # surely one, as an inequality is


@dataclass(frozen=True)
class Unordered:
    """A list without brackets, a set, a union, or both signs of `\\pm`: order and repetition do not count."""

    items: tuple[Node, ...]
    kind: Literal["list", "union", "signs"] = "list"


@dataclass(frozen=True)
class Matrix:
    """Rows of entries."""

    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True)
class Equation:
    """`name = value`, or a relation between two expressions. `first` is the first value of a chain of equalities."""

    operator: str
    left: str
    right: str
    value: Node
    named: bool = False
    first: Node | None = None


@dataclass(frozen=True)
class Assignments:
    """`x=5, y=8`: distinct names with their values."""

    names: tuple[str, ...]
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Opaque:
    """What no reading fits; equal only to its own string."""

    text: str


Node = Expression | Words | Choice | Ordered | Unordered | Matrix | Equation | Assignments | Opaque
EVERYTHING = Ordered("()", (Expression(r"-\infty"), Expression(r"\infty")), interval=True)  # the real numbers
