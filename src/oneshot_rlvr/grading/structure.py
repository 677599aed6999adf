"""The shape of an answer: tuple, interval, list, set, matrix, relation, choice, words, or one expression.

`read` turns a canonical string into a small tree (`nodes.py`); `compare.py` compares two trees.
"""

from __future__ import annotations

import re
from itertools import product

from oneshot_rlvr.grading.brackets import one_pair, split, without_outer_braces
from oneshot_rlvr.grading.comments import without_comment
from oneshot_rlvr.grading.limits import MOST_ITEMS
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
from oneshot_rlvr.grading.normalise import FUNCTIONS
from oneshot_rlvr.grading.numbers import read_number
from oneshot_rlvr.grading.relations import both, described_set, name, relation
from oneshot_rlvr.grading.units import split_unit

DEEPEST_TREE = 12
MOST_SIGNS = 3  # of `\pm` in one value

_PREFIX = re.compile(
    r"(?:\\text\{)?(?:the |our |so |thus |therefore,? )*(?:final |correct |only )?(?:answer|result|solution|value)s?"
    r"(?: is| are)?(?:\}|:|(?<=is)|(?<=are))[: ]*(?:\})?",
    re.I,
)
_ALL = re.compile(r"\\text\{(?:for |when |if )?(?:all|any|every|each)(?: real| integers?| numbers?)*\} ?")
_CHOICE = re.compile(r"\(?\\text\{\(?([A-Ja-j])\)?[.:]?\}\)?|\(([A-Ja-j])\)")
_LABELLED = re.compile(
    r"\(?\\text\{\(?([A-J])[).:]?\)? *\}\)?[:.]? *([^=]*\d[^=]*)|\(([A-J])\) *(-?\d[^=]*|\\frac[^=]*|\\text[^=]*)"
    r"|([A-J])[:.)] *(-?\d[^=]*)"
)
_SECOND_LABEL = re.compile(r"(?<![A-Za-z\\])[A-J]\)|\([A-J]\)|\\text\{\(?[A-J][).:]")
_LETTER = re.compile(r"([A-J])[).:]")
_PHRASE = re.compile(r"[A-Za-z][A-Za-z'’ .-]*[A-Za-z.']")
_SHORT_WORDS = {"yes", "no", "odd", "one", "two", "six", "ten", "all", "any", "red"}  # others are products of letters
_AND = r",?\\and(?![A-Za-z])|,?(?<![A-Za-z\\])and(?![A-Za-z])"
_OR = r",?\\or(?![A-Za-z])|,?(?<![A-Za-z\\])or(?![A-Za-z])"
_BASE = re.compile(
    r"\(?([0-9A-Z]+)\)?"
    r"(?:_\{?\(?(?:\\text\{(?:base )?)?(\d{1,2}|[a-z]+)\}?\)?\}?|\\text\{(?:in )?base(?: (\d+))?\}(\d*))"
)
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"}
_BASES |= {"ten": "10", "twelve": "12", "sixteen": "16"}
_CLOCK = re.compile(r"(\d{1,2}:[0-5]\d(?::[0-5]\d)?) ?([AaPp]\.? ?[Mm]\.?)?")
_MATRIX = re.compile(r"(.*?)\\begin\{matrix\}(.*)\\end\{matrix\}(\^\{(?:T|\\top|\\text\{T\})\}|\^\\top)?", re.S)
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_WRITTEN_WORDS = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{4,}(?![A-Za-z])")


def read(text: str) -> Node:
    """The tree of a canonical string. Never raises: what fits no reading is `Opaque`."""
    return _read(without_comment(text), 0)


def _read(text: str, depth: int) -> Node:
    if depth > DEEPEST_TREE:
        return Opaque(text)
    text = _PREFIX.sub("", text, count=1).strip() if _PREFIX.match(text) else text
    text = without_outer_braces(_ALL.sub("", text, count=1) if _ALL.match(text) else text)
    if (choice := _choice(text, depth)) is not None:
        return choice
    if match := _CLOCK.fullmatch(re.sub(r"\\text\{([^{}]*)\}", r"\1", text)):
        return Expression(match[1], None, re.sub(r"[. ]", "", match[2] or "").lower())
    if (words := _phrase(text)) is not None:
        return Words(words)
    if match := re.fullmatch(r"\\text\{([^{}]*,[^{}]*)\}", text):  # a list in words
        return _read(match[1], depth + 1)

    def within(part: str) -> Node:
        return _read(part, depth + 1)

    if (node := _conditions(text, depth) or described_set(text, within) or _list(text, depth)) is not None:
        return node
    if (node := relation(text, within)) is not None:
        return node
    for reading in (_union, _bracketed, _matrix, _signs):
        if (node := reading(text, depth)) is not None:
            return node
    return _value(text, depth)


def alternatives(text: str) -> tuple[Node, ...]:
    """Every reading: `1,234` is a number, and a list of two."""
    if _THOUSANDS.fullmatch(text):
        number, *rest = text.split(",")
        return read(text), Unordered(tuple(_value(part, 1) for part in (number, *rest)))
    return (read(text),)


def _choice(text: str, depth: int) -> Choice | None:
    """A marked letter, alone or with its value; of several, none is chosen."""
    if match := _LABELLED.fullmatch(text):
        letter, value = (group for group in match.groups() if group)
        return None if _SECOND_LABEL.search(value) else Choice(letter, _read(value.strip(), depth + 1))
    if match := _CHOICE.fullmatch(text) or _LETTER.fullmatch(text):
        return Choice(next(group for group in match.groups() if group).upper())
    return None


def _phrase(text: str) -> str | None:
    """The words of a text answer, else None: wrapped in `\\text{}`, or letters with a word among them."""
    stripped = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text) if r"\text{" in text else text
    if not _PHRASE.fullmatch(stripped.strip()) or text.strip() in FUNCTIONS:
        return None
    words = re.sub(r"[.'’]", "", stripped.lower()).replace("-", " ").split()
    if r"\text{" not in text and not any(len(word) > 3 or word in _SHORT_WORDS for word in words):
        return None
    return " ".join(words[1:] if words[0] in ("a", "an", "the") and len(words) > 1 else words)


def _conditions(text: str, depth: int) -> Node | None:
    """Inequalities joined by "and", where both must hold, or by "or", where one does."""
    parts = split(text, _AND)
    if len(parts) == 2:
        return both(*(_read(part.strip(" ,"), depth + 1) for part in parts))
    parts = split(text, _OR)
    if len(parts) > 1:
        nodes = [_read(part.strip(" ,"), depth + 1) for part in parts]
        if any(isinstance(n, Ordered) and n.interval for n in nodes) and all(map(_is_condition, nodes)):
            return Unordered(tuple(nodes), "union")
    return None


def _is_condition(node: Node) -> bool:
    return (isinstance(node, Ordered) and node.interval) or (isinstance(node, Equation) and node.named)


def _list(text: str, depth: int) -> Node | None:
    if _is_grouped(text):
        return None
    for separators in (rf"{_AND}|{_OR}|;", r","):
        parts = [part.strip() for part in split(text, separators)]
        if len(parts) > 1:
            break
    else:
        return None
    parts = [part for part in parts if part]
    if separators != "," and ";" not in text:
        parts = [item.strip() for part in parts for item in _at_commas(part) if item.strip()]
    if not parts or len(parts) > MOST_ITEMS:
        return Opaque(text)
    items = tuple(_read(part, depth + 1) for part in parts)
    named = [item for item in items if isinstance(item, Equation) and item.named and item.operator == "="]
    names = tuple(name(item.left) for item in named)
    if len(items) > 1 and len(set(names)) == len(items):
        return Assignments(names, tuple(item.value for item in named))
    return Unordered(_flat(items))


def _at_commas(text: str) -> list[str]:
    return [text] if _is_grouped(text) else split(text, ",")


def _is_grouped(text: str) -> bool:
    """Whether the commas of a text only group one number's digits, whatever unit or factor is beside it."""
    plain, _ = split_unit(text)
    if _THOUSANDS.fullmatch(plain):
        return True
    match = _THOUSANDS.match(plain)
    return bool(match and "," not in plain[match.end() :] and not plain[match.end()].isdigit())


def _flat(items: tuple[Node, ...]) -> tuple[Node, ...]:
    """The items of a list, with both values of a `\\pm` as two."""
    found: list[Node] = []
    for item in items:
        value = item.value if isinstance(item, Equation) and item.named and not item.first else item
        found += value.items if isinstance(value, Unordered) and value.kind == "signs" else [item]
    return tuple(found)


def _union(text: str, depth: int) -> Node | None:
    parts = split(text, r"\\cup(?![A-Za-z])")
    if len(parts) == 1:
        return None
    return Unordered(tuple(_read(part.strip(), depth + 1) for part in parts[:MOST_ITEMS]), "union")


def _bracketed(text: str, depth: int) -> Node | None:
    """A tuple, interval or set, or one expression in parentheses."""
    brackets, inner = text[:1] + text[-1:], text[1:-1]
    if text.startswith(r"\{") and text.endswith(r"\}"):
        brackets, inner = "{}", text[2:-2]
    elif text.startswith(r"\langle") and text.endswith(r"\rangle"):
        brackets, inner = "()", text[7:-7]
    if brackets not in ("()", "[]", "(]", "[)", "{}") or not one_pair(inner):
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
    if r"\pm" in inner and brackets != "{}":
        return _signs(text, depth)
    items = tuple(_read(part, depth + 1) for part in parts)
    return Unordered(_flat(items)) if brackets == "{}" else Ordered(brackets, items)


def _matrix(text: str, depth: int) -> Node | None:
    """A matrix; a factor before it goes into its entries, and it may be transposed."""
    match = _MATRIX.fullmatch(text)
    if match is None or r"\begin" in match[2] or "=" in match[1]:
        return None
    factor = match[1].strip().removesuffix(r"\cdot").removesuffix("*").strip()
    rows = [row for row in match[2].split(r"\\") if row.strip()]
    cells = [[cell.strip() for cell in row.split("&")] for row in rows]
    if sum(map(len, cells)) > MOST_ITEMS:
        return Opaque(text)
    if factor:
        cells = [[f"{'-' if factor == '-' else f'({factor})'}({cell})" for cell in row] for row in cells]
    if match[3] and len({len(row) for row in cells}) == 1:
        cells = [list(column) for column in zip(*cells, strict=True)]
    return Matrix(tuple(tuple(_read(cell, depth + 1) for cell in row) for row in cells))


def _signs(text: str, depth: int) -> Node | None:
    """Every value of a text with `\\pm`; two of them vary on their own, unless a `\\mp` goes with them."""
    count = text.count(r"\pm")
    if not count:
        return None
    if count > MOST_SIGNS:
        return Opaque(text)
    found: dict[str, None] = {}
    for signs in [("+",) * count, ("-",) * count] if r"\mp" in text else product("+-", repeat=count):
        value = text.replace(r"\mp", "-" if signs[0] == "+" else "+")
        for sign in signs:
            value = value.replace(r"\pm", sign, 1)
        found[re.sub(r"(^|[(\[,=]) ?\+", r"\1", value)] = None
    return Unordered(tuple(_read(value, depth + 1) for value in found), "signs")


def _value(text: str, depth: int) -> Node:
    """One expression: its unit and base set aside, its exact number if it plainly is one."""
    plain, unit = split_unit(text)
    if not plain:
        plain, unit = text, ""
    if unit and plain != text and plain.startswith("(") and depth < DEEPEST_TREE:
        inner = _bracketed(plain, depth)
        if isinstance(inner, Expression):
            return Expression(inner.text, inner.number, unit or inner.unit, inner.base)
    base = ""
    if (match := _BASE.fullmatch(text)) and (written := match[2] or match[3] or match[4] or ""):
        number = _BASES.get(written, written)
        if number.isdigit():
            plain, base, unit = match[1], number, ""
    ratio = split(plain, ":")
    if len(ratio) == 2 and all(ratio):
        plain = rf"\frac{{{ratio[0].strip()}}}{{{ratio[1].strip()}}}"
    if _is_grouped(plain):
        plain = re.sub(r"(?<=\d),(?=\d{3})", "", plain)
    if r"\text" in plain or _WRITTEN_WORDS.search(plain):
        return Opaque(text)
    return Expression(plain, read_number(plain), unit, base)
