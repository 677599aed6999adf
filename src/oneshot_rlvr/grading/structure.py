"""The shape of an answer: tuple, interval, list, set, matrix, relation, choice, words, or one expression.

`read` turns a canonical string into a small tree; `compare.py` compares two trees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oneshot_rlvr.grading.limits import MOST_ITEMS
from oneshot_rlvr.grading.normalise import FUNCTIONS
from oneshot_rlvr.grading.numbers import Number, read_number
from oneshot_rlvr.grading.units import split_unit


@dataclass(frozen=True)
class Expression:
    """One value: its text without unit and base, and its exact number where it plainly is one."""

    text: str
    number: Number | None = None
    unit: str = ""
    base: str = ""


@dataclass(frozen=True)
class Words:
    """A name, a phrase, or a sentence; compared without case, spaces and punctuation."""

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


@dataclass(frozen=True)
class Unordered:
    """A list without brackets, a set, a union, or both signs of `\\pm`: order and repetition do not count."""

    items: tuple[Node, ...]


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

_OPEN, _CLOSE = "([{", ")]}"
_PREFIX = re.compile(
    r"(?:\\text\{)?(?:the |our |so |thus |therefore,? )*(?:final |correct )?(?:answer|result)(?: is)?"
    r"(?:\}|:|(?<=is))[: ]*(?:\})?",
    re.I,
)
_CHOICE = re.compile(r"\(?\\text\{\(?([A-Ja-j])\)?[.:]?\}\)?|\(([A-Ja-j])\)")
_LABELLED = re.compile(
    r"\(?\\text\{\(?([A-J])[).:]?\)? *\}\)?[:.]? *([^=]*\d[^=]*)|\(([A-J])\) *(-?\d[^=]*|\\frac[^=]*|\\text[^=]*)"
    r"|([A-J])[:.)] *(-?\d[^=]*)"
)
_LETTER = re.compile(r"([A-J])[).:]")
_PHRASE = re.compile(r"[A-Za-z][A-Za-z'’ .,-]*[A-Za-z.']")
_NAME = re.compile(
    r"(?=.*[A-Za-z])(?!\d)(?:[A-Za-z']|\\text\{[^{}]*\}|\\(?!frac|sqrt|int|sum|prod|binom|pm)[A-Za-z]+"
    r"|\\frac\{d[^{}]*\}\{d[^{}]*\}|\\(?:vec|overline|hat|bar|mathbf)\{[A-Za-z]+\}|_\{[^{}]*\}|_\w|\^\{-1\}|\^\\prime"
    r"|\(|\)|\[|\]|,|;|:|\|| |(?<=[(,;])[-+\d./ ]+(?=[),;])|\^\{\([^{}]*\)\})+"
)
_RELATION = re.compile(r"\\(?:le|ge|ne|in|approx|sim|simeq|cong|equiv|to|rightarrow)(?![A-Za-z])|[=<>]")
_BASE = re.compile(r"([0-9A-Z]+)_\{?\(?(\d{1,2})\)?\}?")
_CLOCK = re.compile(r"(\d{1,2}:[0-5]\d(?::[0-5]\d)?) ?([AaPp]\.? ?[Mm]\.?)?")
_MATRIX = re.compile(r"\\begin\{matrix\}(.*)\\end\{matrix\}", re.S)
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}
_WRITTEN_WORDS = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{4,}(?![A-Za-z])")


def read(text: str) -> Node:
    """The tree of a canonical string. Never raises: what fits no reading is `Opaque`."""
    return _read(text, 0)


def _read(text: str, depth: int) -> Node:
    if depth > 12:
        return Opaque(text)
    text = _PREFIX.sub("", text, count=1).strip() if _PREFIX.match(text) else text
    text = _outer_braces(text)
    if match := _LABELLED.fullmatch(text):
        letter, value = (group for group in match.groups() if group)
        return Choice(letter, _read(value.strip(), depth + 1))
    if match := _CHOICE.fullmatch(text) or _LETTER.fullmatch(text):
        return Choice(next(group for group in match.groups() if group).upper())
    if match := _CLOCK.fullmatch(re.sub(r"\\text\{([^{}]*)\}", r"\1", text)):
        return Expression(match[1], None, re.sub(r"[. ]", "", match[2] or "").lower())
    if (words := _phrase(text)) is not None:
        return Words(words)
    for reading in (_list, _relation, _union, _bracketed, _matrix, _signs):
        if (node := reading(text, depth)) is not None:
            return node
    return _value(text, depth)


def alternatives(text: str) -> tuple[Node, ...]:
    """Every reading: `1,234` is a number, and a list of two."""
    if _THOUSANDS.fullmatch(text):
        number, *rest = text.split(",")
        return read(text), Unordered(tuple(_value(part, 1) for part in (number, *rest)))
    return (read(text),)


def split(text: str, separators: str) -> list[str]:
    """The parts of a text between separators that stand in no bracket. `separators` is a regular expression."""
    pattern, parts, start, depth, position = re.compile(separators), [], 0, 0, 0
    while position < len(text):
        character = text[position]
        if depth == 0 and (match := pattern.match(text, position)):
            parts.append(text[start:position])
            start = position = max(match.end(), position + 1)
            continue
        if character == "\\" and position + 1 < len(text):
            if text[position + 1] in "{}":
                depth += 1 if text[position + 1] == "{" else -1
            elif text.startswith((r"\begin", r"\langle"), position):
                depth += 1
            elif text.startswith((r"\end", r"\rangle"), position):
                depth -= 1
            position += 2
            continue
        depth += (character in _OPEN) - (character in _CLOSE)
        depth = max(depth, 0)
        position += 1
    return [*parts, text[start:]]


def _outer_braces(text: str) -> str:
    while len(text) > 1 and text[0] == "{" and text[-1] == "}" and len(split(text[1:], r"\}(?=.)")) == 1:
        text = text[1:-1].strip()
    return text


def _phrase(text: str) -> str | None:
    """The words of a text answer, else None: wrapped in `\\text{}`, or letters only with a word of three or more."""
    stripped = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text) if r"\text{" in text else text
    if not _PHRASE.fullmatch(stripped.strip()):
        return None
    words = stripped.split()
    if r"\text{" not in text and max(len(word) for word in words) < 3:
        return None
    if text.strip() in FUNCTIONS:
        return None
    return re.sub(r"[\s.,'’-]", "", stripped.lower())


def _list(text: str, depth: int) -> Node | None:
    if _THOUSANDS.fullmatch(text):
        return None
    conjunction = r",?\\(?:and|or)(?![A-Za-z])|,?(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])"
    for separators in (rf"{conjunction}|;", r","):
        parts = [part.strip() for part in split(text, separators)]
        if len(parts) > 1:
            break
    else:
        return None
    parts = [part for part in parts if part]
    if separators != "," and not any(";" in part for part in parts) and ";" not in text:
        parts = [item.strip() for part in parts for item in split(part, ",") if item.strip()]
    if not parts or len(parts) > MOST_ITEMS:
        return Opaque(text)
    items = tuple(_read(part, depth + 1) for part in parts)
    names = tuple(item.left for item in items if isinstance(item, Equation) and item.named and item.operator == "=")
    if len(items) > 1 and len(set(names)) == len(items):
        return Assignments(names, tuple(item.value for item in items if isinstance(item, Equation)))
    return Unordered(items)


def _relation(text: str, depth: int) -> Node | None:
    parts = [part.strip() for part in split(text, _RELATION.pattern)]
    if len(parts) == 1:
        return None
    operators, position = [], 0
    for part in parts[:-1]:
        position = text.index(part, position) + len(part)
        match = _RELATION.search(text, position)
        if match is None:
            return Opaque(text)
        operators.append(match[0])
        position = match.end()
    if not all(parts):
        leading = parts[-1] and not any(parts[:-1]) and operators in (["="], [r"\approx"])
        return _read(parts[-1], depth + 1) if leading else Opaque(text)
    if set(operators) <= {"=", r"\approx", r"\sim", r"\simeq"}:
        return _equality(parts, operators, depth)
    if operators == [r"\in"]:
        return _read(parts[1], depth + 1) if _NAME.fullmatch(parts[0]) else Opaque(text)
    return _inequality(parts, operators, depth) or Opaque(text)


def _equality(parts: list[str], operators: list[str], depth: int) -> Node:
    """`a = b`, or a chain. What follows an `\\approx` is only a rounding, unless nothing but a name precedes it."""
    named = bool(_NAME.fullmatch(parts[0]))
    exact = [part for part, before in zip(parts, ["=", *operators], strict=True) if before == "="]
    values = exact[1:] if named else exact
    if not values:
        values = parts[-1:]
    if len(values) == 1:
        if not named:
            return _read(values[0], depth + 1)
        return Equation("=", _name(parts[0]), values[-1], _read(values[-1], depth + 1), named)
    if not named and len(values) == 2 and (re.search(r"[A-Za-z]", values[0]) or re.search(r"[A-Za-z]", values[1])):
        flipped = bool(_NAME.fullmatch(values[1])) and not _NAME.fullmatch(values[0])
        left, right = (values[1], values[0]) if flipped else values
        return Equation("=", _name(left) if flipped else left, right, _read(right, depth + 1), flipped)
    numeric = [value for value in values if not re.search(r"(?<!\\)(?<![A-Za-z\\])[a-zA-Z]", value)]
    first = _read(numeric[0], depth + 1) if numeric and numeric[0] != values[-1] else None
    left = _name(parts[0]) if named else values[0]
    return Equation("=", left, values[-1], _read(values[-1], depth + 1), named or len(values) > 1, first)


def _inequality(parts: list[str], operators: list[str], depth: int) -> Node | None:
    strict = {"<": True, ">": True, r"\le": False, r"\ge": False}
    if operators == [r"\ne"]:
        return Equation(r"\ne", parts[0], parts[1], _read(parts[1], depth + 1), bool(_NAME.fullmatch(parts[0])))
    if not set(operators) <= set(strict):
        return None
    if operators[0] in (">", r"\ge"):
        parts, operators = parts[::-1], [_FLIPPED.get(operator, operator) for operator in operators[::-1]]
    if not set(operators) <= {"<", r"\le"}:
        return None
    if len(parts) == 2:
        left_name, right_name = (bool(_NAME.fullmatch(part)) for part in parts)
        if left_name == right_name:
            return Equation(operators[0], parts[0], parts[1], _read(parts[1], depth + 1))
        bound = _read(parts[1] if left_name else parts[0], depth + 1)
        closed = not strict[operators[0]]
        if left_name:
            ends = (Expression(r"-\infty"), bound)
            return Ordered("(" + ("]" if closed else ")"), ends, _name(parts[0]))
        return Ordered(("[" if closed else "(") + ")", (bound, Expression(r"\infty")), _name(parts[1]))
    if len(parts) == 3 and _NAME.fullmatch(parts[1]):
        brackets = ("(" if strict[operators[0]] else "[") + (")" if strict[operators[1]] else "]")
        return Ordered(brackets, (_read(parts[0], depth + 1), _read(parts[2], depth + 1)), _name(parts[1]))
    return None


def _name(text: str) -> str:
    return re.sub(r"[\\{} ]|text(?=\{)", "", text)


def _union(text: str, depth: int) -> Node | None:
    parts = split(text, r"\\cup(?![A-Za-z])")
    if len(parts) == 1:
        return None
    return Unordered(tuple(_read(part.strip(), depth + 1) for part in parts[:MOST_ITEMS]))


def _bracketed(text: str, depth: int) -> Node | None:
    """A tuple, interval or set, or one expression in parentheses."""
    brackets, inner = text[:1] + text[-1:], text[1:-1]
    if text.startswith(r"\{") and text.endswith(r"\}"):
        brackets, inner = "{}", text[2:-2]
    elif text.startswith(r"\langle") and text.endswith(r"\rangle"):
        brackets, inner = "()", text[7:-7]
    if brackets not in ("()", "[]", "(]", "[)", "{}") or not _one_pair(inner):
        return None
    if brackets != "{}" and r"\{" in brackets:
        return None
    parts = [part.strip() for part in split(inner, ";")]
    if len(parts) == 1:
        parts = [part.strip() for part in split(inner, ",")]
    if not all(parts) or len(parts) > MOST_ITEMS:
        return Opaque(text)
    if len(parts) == 1 and brackets in ("()", "[]"):
        return _read(inner.strip(), depth + 1) if brackets == "()" else None
    items = tuple(_read(part, depth + 1) for part in parts)
    return Unordered(items) if brackets == "{}" else Ordered(brackets, items)


def _one_pair(inner: str) -> bool:
    """Whether the brackets that were around `inner` belong together."""
    depth, position = 0, 0
    while position < len(inner):
        character = inner[position]
        if character == "\\" and inner[position + 1 : position + 2] in ("{", "}"):
            depth += 1 if inner[position + 1] == "{" else -1
            position += 1
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
        if depth < 0:
            return False
        position += 1
    return depth == 0


def _matrix(text: str, depth: int) -> Node | None:
    match = _MATRIX.fullmatch(text)
    if match is None or r"\begin" in match[1]:
        return None
    rows = [row for row in match[1].split(r"\\") if row.strip()]
    entries = tuple(tuple(_read(cell.strip(), depth + 1) for cell in row.split("&")) for row in rows)
    if sum(map(len, entries)) > MOST_ITEMS:
        return Opaque(text)
    return Matrix(entries)


def _signs(text: str, depth: int) -> Node | None:
    """Both values of a `\\pm`."""
    if r"\pm" not in text:
        return None
    if text.count(r"\pm") > 1:
        return Opaque(text)
    both = [text.replace(r"\pm", a).replace(r"\mp", b) for a, b in (("+", "-"), ("-", "+"))]
    return Unordered(tuple(_read(value.removeprefix("+"), depth + 1) for value in both))


def _value(text: str, depth: int) -> Node:
    """One expression: its unit and base set aside, its exact number if it plainly is one."""
    plain, unit = split_unit(text)
    if not plain:
        plain, unit = text, ""
    if unit and plain != text and plain.startswith("(") and depth < 12:
        inner = _bracketed(plain, depth)
        if isinstance(inner, Expression):
            return Expression(inner.text, inner.number, unit or inner.unit, inner.base)
    base = ""
    if match := _BASE.fullmatch(plain):
        plain, base = match[1], match[2]
    ratio = split(plain, ":")
    if len(ratio) == 2 and all(ratio):
        plain = rf"\frac{{{ratio[0].strip()}}}{{{ratio[1].strip()}}}"
    if r"\text" in plain or _WRITTEN_WORDS.search(plain):
        return Opaque(text)
    return Expression(plain, read_number(plain), unit, base)
