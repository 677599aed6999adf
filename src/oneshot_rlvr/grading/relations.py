"""Equations, chains, inequalities and sets given by them, as nodes. Each takes the reader for its parts.

An inequality is an interval: `x < 3` is (-infinity, 3), `|x - 1| \\le 2` is [-1, 3], `x^2 < 3` lies between the
roots, and `x > 3 and x \\le 4` is (3, 4]. `\\{x | ...\\}` is what its condition says.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from oneshot_rlvr.grading.brackets import split
from oneshot_rlvr.grading.nodes import EVERYTHING, Equation, Expression, Node, Opaque, Ordered, Unordered

Read = Callable[[str], Node]

NAME = re.compile(
    r"(?=.*[A-Za-z])(?!\d)(?:[A-Za-z']|\\text\{[^{}]*\}|\\(?!frac|sqrt|int|sum|prod|binom|pm)[A-Za-z]+"
    r"|\\frac\{d[^{}]*\}\{d[^{}]*\}|\\(?:vec|overline|hat|bar|mathbf)\{[A-Za-z]+\}|_\{[^{}]*\}|_\w|\^\{-1\}|\^\\prime"
    r"|\(|\)|\[|\]|,|;|:|\|| |(?<=[(,;])[-+\d./ ]+(?=[),;])|\^\{\([^{}]*\)\})+"
)
_RELATION = r"\\(?:le|ge|ne|in|approx|sim|simeq|cong|equiv|to|rightarrow)(?![A-Za-z])|[=<>]"
_MIRRORED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_STRICT = {"<": True, r"\le": False}
_SIZE = re.compile(r"\|([A-Za-z])(?:([-+])([^|+-]+))?\|")  # |x - a|
_SQUARE = re.compile(r"([A-Za-z])\^\{2\}")
_BUILDER = re.compile(r"\\\{ ?([A-Za-z]|\([A-Za-z, ]+\)) ?(?:\\in ?[^|:]+)?[|:](.+)\\\}")
_REALS = r"\\mathbb\{R\}"
_WITHOUT = re.compile(rf"(?:{_REALS}|\(-\\infty,\\infty\))(?:\\setminus|\\backslash|-(?=\\\{{))(.+)")
_MINUS_INFINITY, _INFINITY = EVERYTHING.items


def relation(text: str, read: Read) -> Node | None:
    """An equation, a chain, an inequality or a membership; None where no relation stands."""
    parts = [part.strip() for part in split(text, _RELATION)]
    if len(parts) == 1:
        return None
    operators, position = [], 0
    for part in parts[:-1]:
        position = text.index(part, position) + len(part)
        match = re.compile(_RELATION).search(text, position)
        if match is None:
            return Opaque(text)
        operators.append(match[0])
        position = match.end()
    if not all(parts):
        leading = parts[-1] and not any(parts[:-1]) and operators in (["="], [r"\approx"])
        return read(parts[-1]) if leading else Opaque(text)
    if set(operators) <= {"=", r"\approx", r"\sim", r"\simeq"}:
        return _equality(parts, operators, read)
    if operators == [r"\in"]:
        return read(parts[1]) if NAME.fullmatch(parts[0]) else Opaque(text)
    return _inequality(parts, operators, read) or Opaque(text)


def _equality(parts: list[str], operators: list[str], read: Read) -> Node:
    """`a = b`, or a chain. What follows an `\\approx` is only a rounding, unless nothing but a name precedes it."""
    named = bool(NAME.fullmatch(parts[0]))
    exact = [part for part, before in zip(parts, ["=", *operators], strict=True) if before == "="]
    values = (exact[1:] if named else exact) or parts[-1:]
    if len(values) == 1:
        return Equation("=", parts[0], values[-1], read(values[-1]), named) if named else read(values[0])
    if not named and len(values) == 2 and (re.search(r"[A-Za-z]", values[0]) or re.search(r"[A-Za-z]", values[1])):
        flipped = bool(NAME.fullmatch(values[1])) and not NAME.fullmatch(values[0])
        left, right = (values[1], values[0]) if flipped else values
        return Equation("=", left, right, read(right), flipped)
    numeric = [value for value in values[:-1] if not re.search(r"(?<!\\)(?<![A-Za-z\\])[a-zA-Z]", value)]
    left = parts[0] if named else values[0]
    first = read(numeric[0]) if numeric and numeric[0] != values[-1] else None
    return Equation("=", left, values[-1], read(values[-1]), named or len(values) > 1, first)


def _inequality(parts: list[str], operators: list[str], read: Read) -> Node | None:
    if operators == [r"\ne"]:
        return _unequal(parts, read)
    if not set(operators) <= set(_MIRRORED):
        return None
    if operators[0] in (">", r"\ge"):
        parts, operators = parts[::-1], [_MIRRORED[operator] for operator in operators[::-1]]
    if not set(operators) <= set(_STRICT):
        return None
    if len(parts) == 2:
        if (found := _around(parts, operators[0], read)) is not None:
            return found
        left_name, right_name = (bool(NAME.fullmatch(part)) for part in parts)
        if left_name == right_name:
            return Equation(operators[0], parts[0], parts[1], read(parts[1]))
        bound = read(parts[1] if left_name else parts[0])
        if left_name:
            ends = (_MINUS_INFINITY, bound)
            return Ordered("(" + (")" if _STRICT[operators[0]] else "]"), ends, name(parts[0]), interval=True)
        ends = (bound, _INFINITY)
        return Ordered(("(" if _STRICT[operators[0]] else "[") + ")", ends, name(parts[1]), interval=True)
    if len(parts) == 3 and NAME.fullmatch(parts[1]):
        brackets = ("(" if _STRICT[operators[0]] else "[") + (")" if _STRICT[operators[1]] else "]")
        return Ordered(brackets, (read(parts[0]), read(parts[2])), name(parts[1]), interval=True)
    return None


def _unequal(parts: list[str], read: Read) -> Node:
    """`x \\ne 3` is everything but 3; a relation of anything else."""
    if NAME.fullmatch(parts[0]) and (found := _outside(parts[1], read, closed=False)):
        return found
    return Equation(r"\ne", parts[0], parts[1], read(parts[1]), bool(NAME.fullmatch(parts[0])))


def _around(parts: list[str], operator: str, read: Read) -> Node | None:
    """`|x - a| < b` and `x^2 < b`, either way round: between two bounds, or outside of them."""
    for (text, bound), inside in ((parts, True), (parts[::-1], False)):
        if match := _SIZE.fullmatch(text):
            centre = f"({match[3]})" if match[2] == "-" else f"-({match[3]})" if match[2] else ""
            low, high = f"{centre}-({bound})", f"{centre}+({bound})" if centre else bound
        elif match := _SQUARE.fullmatch(text):
            low, high = rf"-\sqrt{{{bound}}}", rf"\sqrt{{{bound}}}"
        else:
            continue
        strict = _STRICT[operator]
        if inside:
            return Ordered("()" if strict else "[]", (read(low), read(high)), match[1], interval=True)
        return _two_sides(read(low), read(high), "()" if strict else "[]")
    return None


def _two_sides(low: Node, high: Node, brackets: str) -> Unordered:
    """Everything below `low` and above `high`; square brackets where they belong to it."""
    below = Ordered("(" + (")" if brackets[0] == "(" else "]"), (_MINUS_INFINITY, low), interval=True)
    above = Ordered(("(" if brackets[1] == ")" else "[") + ")", (high, _INFINITY), interval=True)
    return Unordered((below, above), "union")


def _outside(text: str, read: Read, closed: bool) -> Node | None:
    """Everything but one point, or (`closed`) but a set or an interval; None where that is no union of two."""
    node = read(text)
    if isinstance(node, Expression) and not closed and not re.search(r"[A-Za-z]", re.sub(r"\\[a-z]+", "", node.text)):
        return _two_sides(node, node, "()")
    if not closed:
        return None
    if isinstance(node, Unordered) and len(node.items) == 1 and node.kind == "list":
        return _two_sides(node.items[0], node.items[0], "()")
    if isinstance(node, Ordered) and len(node.items) == 2:
        flipped = ("[" if node.brackets[0] == "(" else "(") + ("]" if node.brackets[1] == ")" else ")")
        return _two_sides(*node.items, flipped)
    return None


def described_set(text: str, read: Read) -> Node | None:
    """`\\{x | condition\\}`, all the reals, or all of them but some."""
    if re.fullmatch(rf"{_REALS}|\(-\\infty,\\infty\)", text):
        return EVERYTHING
    if match := _WITHOUT.fullmatch(text):
        return _outside(match[1].strip(), read, closed=True)
    if match := _BUILDER.fullmatch(text):
        found = read(match[2].strip())
        return found if isinstance(found, Ordered | Unordered | Equation) else None
    return None


def both(left: Node, right: Node) -> Node | None:
    """Where two one-sided inequalities of one variable both hold; None for anything else."""
    pair = (left, right)
    if not all(isinstance(node, Ordered) and node.interval and node.name for node in pair):
        return None
    below = [node for node in pair if isinstance(node, Ordered) and node.items[0] == _MINUS_INFINITY]
    above = [node for node in pair if isinstance(node, Ordered) and node.items[1] == _INFINITY]
    if len(below) != 1 or len(above) != 1 or below[0].name != above[0].name:
        return None
    brackets = above[0].brackets[0] + below[0].brackets[1]
    return Ordered(brackets, (above[0].items[0], below[0].items[1]), above[0].name, interval=True)


def name(text: str) -> str:
    """A name without what does not count in one: braces, spaces, `\\text`."""
    return re.sub(r"[\\{} ]|text(?=\{)", "", text)
