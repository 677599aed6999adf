"""Whether two answers are equal, layer by layer: string, exact number, structure, symbols.

The comparison has three values: True, False, and None where only symbols can tell. `decide` runs without symbols in
the caller's process, in microseconds; what it leaves open runs again in a worker, where `Symbols` asks math-verify.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from oneshot_rlvr.grading.limits import too_hard, too_much
from oneshot_rlvr.grading.nodes import (
    Assignments,
    Choice,
    Equation,
    Expression,
    Matrix,
    Node,
    Opaque,
    Ordered,
    Unordered,
    Words,
)
from oneshot_rlvr.grading.normalise import FUNCTIONS, GREEK, canonical
from oneshot_rlvr.grading.numbers import read_number, same_number
from oneshot_rlvr.grading.relations import name
from oneshot_rlvr.grading.respell import respelt, with_one_log
from oneshot_rlvr.grading.structure import alternatives
from oneshot_rlvr.grading.units import same_unit

Layer = Literal["gold", "extraction", "string", "limit", "number", "structure", "symbolic", "scorer"]


class Symbols(Protocol):
    """What can compare expressions that neither strings nor exact numbers decide."""

    def same_value(self, left: str, right: str) -> bool: ...

    def same_equation(self, left: tuple[str, str], right: tuple[str, str]) -> bool: ...

    def same_as_parsed(self, left: str, right: str) -> bool: ...

    def is_zero(self, text: str) -> bool: ...


@dataclass(frozen=True)
class Verdict:
    """Equal or not, and the layer that said so."""

    equal: bool
    layer: Layer


def decide(answer: str, gold: str, symbols: Symbols | None = None) -> Verdict | None:
    """Compare two bare answers; None when only symbols can tell and there are none. Symmetric, and never raises.

    >>> decide("0.5", r"\\frac12")
    Verdict(equal=True, layer='number')
    """
    if too_much(answer) or too_much(gold):
        return Verdict(answer == gold != "", "limit")
    ours, theirs = canonical(answer), canonical(gold)
    if not ours or not theirs:
        return Verdict(answer.strip() == gold.strip() != "", "string")
    if ours == theirs:
        return Verdict(True, "string")
    if too_hard(ours) or too_hard(theirs):
        return Verdict(False, "limit")
    if (left := read_number(ours)) and (right := read_number(theirs)):
        return Verdict(same_number(left, right), "number")
    if (words := _prose(ours)) and words == _prose(theirs):
        return Verdict(True, "structure")
    readings = [(a, b) for x, y in with_one_log(ours, theirs) for a in alternatives(x) for b in alternatives(y)]
    plain = len(readings) == 1 and all(isinstance(node, Expression) and node.number for node in readings[0])
    equal = _any(compare(left, right, symbols) for left, right in readings)
    if equal is None:
        return None
    if symbols is not None:
        return Verdict(equal, "symbolic")
    return Verdict(equal, "number" if plain else "structure")


def _prose(text: str) -> str:
    """The words of an answer that is nothing but `\\text{...}`, without case and punctuation; else ""."""
    match = re.fullmatch(r"\\text\{([^{}]*)\}", text)
    return " ".join(re.sub(r"[,.;]", " ", match[1].lower()).split()) if match else ""


def compare(left: Node, right: Node, symbols: Symbols | None) -> bool | None:  # noqa: C901 - a table of cases
    """Two trees; the order of the arguments does not matter."""
    if _rank(left) > _rank(right):
        left, right = right, left
    match left, right:
        case Expression() as a, Expression() as b:
            return _expressions(a, b, symbols)
        case Equation() as a, Equation() as b:
            return _equations(a, b, symbols)
        case Equation(operator="=") as a, b:
            return _right_side(a, b, symbols)
        case Assignments() as a, Assignments() as b:
            return _assigned(a, b, symbols)
        case Assignments() as a, (Ordered(brackets="()") | Unordered()) as b:
            return _in_order(a.items, b.items, symbols) if sorted(a.names) == list(a.names) else False
        case Unordered() as a, Unordered() as b:
            return _as_sets(a.items, b.items, symbols) if _same_kind(a, b) else False
        case Unordered(items=(only,)), b:
            return compare(only, b, symbols)
        case Ordered() as a, Ordered() as b:
            other = a.brackets != b.brackets or (a.name and b.name and a.name != b.name)
            return False if other else _in_order(a.items, b.items, symbols)
        case Matrix() as a, Matrix() as b:
            if len(a.rows) != len(b.rows):
                return False
            return _all(_in_order(x, y, symbols) for x, y in zip(a.rows, b.rows, strict=True))
        case Ordered(brackets="()") as a, Matrix() as b:
            flat = [entry for row in b.rows for entry in row]
            return _in_order(a.items, flat, symbols) if 1 in (len(b.rows), len(b.rows[0])) else False
        case Choice() as a, (Choice() | Words() | Expression()) as b:
            return _choices(a, b, symbols)
        case Choice(value=value), b if value is not None:
            return compare(value, b, symbols)
        case Words() as a, Words() as b:
            return a.text == b.text
        case Opaque() as a, Opaque() as b:
            return _squeezed(a.text) == _squeezed(b.text)
    return False


def _right_side(a: Equation, b: Node, symbols: Symbols | None) -> bool | None:
    """A name's value, or a chain's, or an identity's sides, against a value. A bare letter is no name's value."""
    if a.named:
        if isinstance(a.value, Expression) and re.fullmatch("[A-Za-z]", a.value.text) and len(a.left) == 1:
            return False
        return _all(compare(value, b, symbols) for value in (a.value, a.first) if value is not None)
    left, right = respelt(a.left), respelt(a.right)
    if not isinstance(b, Expression) or not (symbolic(left) and symbolic(right)):
        return False
    if symbols is None:
        return None
    return compare(a.value, b, symbols) if symbols.same_value(left, right) else False


def _same_kind(a: Unordered, b: Unordered) -> bool:
    """A union is no list of points; it is a list of what are surely intervals."""
    if "union" not in (a.kind, b.kind) or a.kind == b.kind:
        return True
    listed = a if b.kind == "union" else b
    return all(isinstance(item, Ordered) and (item.interval or _is_interval(item)) for item in listed.items)


def _is_interval(node: Ordered) -> bool:
    endless = any(isinstance(item, Expression) and r"\infty" in item.text for item in node.items)
    return node.brackets != "()" or endless


def _choices(a: Choice, b: Choice | Words | Expression, symbols: Symbols | None) -> bool | None:
    """A marked letter against another, or a bare capital; its value against a value."""
    if isinstance(b, Choice):
        return a.letter == b.letter
    if len(b.text) == 1 and b.text.isalpha():
        return a.letter == (b.text.upper() if isinstance(b, Words) else b.text)
    return False if a.value is None else compare(a.value, b, symbols)


_ORDER = (Equation, Assignments, Unordered, Ordered, Matrix, Choice, Words, Opaque, Expression)


def _rank(node: Node) -> int:
    return _ORDER.index(type(node))


def _squeezed(text: str) -> str:
    """Without spaces, and with the words in `\\text{}` in small letters."""
    text = re.sub(r"\\text\{([^{}]*)\}", lambda match: match[1].lower().strip(" ."), text)
    return re.sub(r"\s", "", text)


def _expressions(a: Expression, b: Expression, symbols: Symbols | None) -> bool | None:
    if a.base and b.base and a.base != b.base:
        return False
    if {a.unit, b.unit} == {"%", ""}:
        return _percent(a, b, symbols) if b.unit else _percent(b, a, symbols)
    if {a.unit, b.unit} in ({"deg", "rad"}, {"deg", ""}):
        return _angle(a, b, symbols) if a.unit == "deg" else _angle(b, a, symbols)
    return _same_values(a, b, symbols) if same_unit(a.unit, b.unit) else False


def _same_values(a: Expression, b: Expression, symbols: Symbols | None) -> bool | None:
    if a.text == b.text:
        return True
    if a.number and b.number:
        return same_number(a.number, b.number)
    ours, theirs = respelt(a.text), respelt(b.text)
    if not (symbolic(ours) and symbolic(theirs)):
        return False
    return None if symbols is None else symbols.same_value(ours, theirs)


def _percent(plain: Expression, percent: Expression, symbols: Symbols | None) -> bool | None:
    """`8\\%` is 0.08. It is 8 as well, where the sign is only missing; a number below one is a share."""
    if plain.number and percent.number:
        value, hundredths = plain.number.value, percent.number.value
        return value * 100 == hundredths or (abs(value) >= 1 and value == hundredths)
    return _same_values(plain, percent, symbols)


def _angle(degrees: Expression, other: Expression, symbols: Symbols | None) -> bool | None:
    """Degrees against the same number without a unit, or against radians."""
    radians = Expression(rf"({degrees.text})\cdot\pi/180")
    same = False if other.unit else _same_values(degrees, other, symbols)
    return _any([same, _same_values(radians, replace(other, unit=""), symbols)])


def _equations(a: Equation, b: Equation, symbols: Symbols | None) -> bool | None:
    if a.named and b.named and _same_name(name(a.left), name(b.left)) and a.operator == b.operator:
        firsts = [compare(x.first, y.value, symbols) for x, y in ((a, b), (b, a)) if x.first is not None]
        return _all([compare(a.value, b.value, symbols), *firsts])
    if a.operator != b.operator:
        return False
    if (a.left, a.right) in ((b.left, b.right), (b.right, b.left)) and a.operator in ("=", r"\ne"):
        return True
    sides = [respelt(side) for side in (a.left, a.right, b.left, b.right)]
    if a.first or b.first or not all(symbolic(side) for side in sides):
        return False
    if symbols is None:
        return None
    if a.operator in ("=", r"\ne"):
        return symbols.same_equation((sides[0], sides[1]), (sides[2], sides[3]))
    return symbols.same_value(f"{sides[0]}-({sides[1]})", f"{sides[2]}-({sides[3]})")


def _same_name(left: str, right: str) -> bool:
    """Two names, one of which may leave out its arguments, `f(x)`, or its index, `m_max`."""
    for pattern in (r"\(.*\)$", r"_\w+$"):
        if left == right:
            return True
        bare = [re.sub(pattern, "", side) for side in (left, right)]
        if (bare[0] == left) != (bare[1] == right):
            left, right = bare
    return left == right


def _assigned(a: Assignments, b: Assignments, symbols: Symbols | None) -> bool | None:
    if set(a.names) != set(b.names):
        return False
    values = dict(zip(b.names, b.items, strict=True))
    return _all(compare(item, values[name], symbols) for name, item in zip(a.names, a.items, strict=True))


def _in_order(a: Sequence[Node], b: Sequence[Node], symbols: Symbols | None) -> bool | None:
    return len(a) == len(b) and _all(compare(x, y, symbols) for x, y in zip(a, b, strict=True))


def _as_sets(a: Sequence[Node], b: Sequence[Node], symbols: Symbols | None) -> bool | None:
    """Each item has its equal on the other side."""
    table = [[compare(x, y, symbols) for y in b] for x in a]
    return _all([*(_any(row) for row in table), *(_any(column) for column in zip(*table, strict=True))])


def _all(values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    return False if False in found else None if None in found else True


def _any(values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    return True if True in found else None if None in found else False


_OPERATORS = "frac sqrt cdot times div binom sum prod int infty lfloor rfloor lceil rceil circ prime"
_KNOWN = FUNCTIONS | GREEK | frozenset(_OPERATORS.split(" "))
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_PLAIN = re.compile(r"[A-Za-z0-9+\-*/^_(){}\[\]|!.,= ]*")
_INDEX = re.compile(r"_\{\w+\}")
_MISREAD = re.compile(r"[A-Za-z]{4,}|\d \d")  # a word is no product of letters, and `2 3` is no sum


def symbolic(text: str) -> bool:
    """Whether an expression is made only of what math-verify reads without losing a part; the rest is string only."""
    if not re.search(r"\w", text) or _MISREAD.search(_COMMAND.sub("#", _INDEX.sub("", text))):
        return False
    rest = _COMMAND.sub(lambda match: "" if match[1] in _KNOWN else "\\", text)
    return _PLAIN.fullmatch(rest) is not None
