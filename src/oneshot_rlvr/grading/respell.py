"""Spellings that math-verify's parser reads without a mistake: what it would take for something else is respelt."""

from __future__ import annotations

import re

from oneshot_rlvr.grading.normalise import FUNCTIONS, GREEK

_MIXED = re.compile(r"(?<![\w.})^])(\d+)\\frac\{(\d+)\}\{(\d+)\}")
_VARIABLE = r"([A-Za-z]|\\[a-z]+)(?:_\{(\w+)\})?"
_DERIVATIVE = re.compile(rf"\\frac\{{d(?:\^\{{(\d)\}})? ?{_VARIABLE}\}}\{{d ?(?:[A-Za-z]|\\[a-z]+)(?:\^\{{\d\}})?\}}")
_PARTIAL = re.compile(
    rf"\\frac\{{\\partial(?:\^\{{(\d)\}})? ?{_VARIABLE}\}}\{{\\partial ?([A-Za-z]|\\[a-z]+)(?:\^\{{\d\}})?\}}"
)
_DOTS = re.compile(r"\\(d{1,2})ot\{([A-Za-z]|\\[a-z]+)\}")
_PRIMES = re.compile(r"(?<![A-Za-z\\])([A-Za-z])('{1,2}|\^\{?(?:\\prime ?){1,2}\}?)(?![('\w])")
_GAMMA = re.compile(r"\\(gamma|Gamma(?!\())(?![A-Za-z])")  # the parser's gamma is the function
_INDEXED_E = re.compile(r"(?<![A-Za-z\\])([eE])_\{(\w+)\}")  # the parser's e takes no index
_CALLED = re.compile(r"(\\[A-Za-z]+|(?<![A-Za-z\\])[A-Za-z])((?:_\{\w+\}|\^\{\w+\})*)\((?!(?:[A-Za-z]|\d+)\))")
_FUNCTIONS = frozenset("fghFGH")
_BARE_LOG = re.compile(r"\\log(?![A-Za-z]|\s*_)")
_NATURAL, _TO_TEN = r"\ln ", r"\log_{10}"


def respelt(text: str) -> str:
    """A canonical expression with mixed numbers as sums, derivatives as variables, and products marked as such.

    >>> respelt(r"17\\frac{2}{11}\\sqrt{11}")
    '(17+\\\\frac{2}{11})\\\\sqrt{11}'
    """
    text = _MIXED.sub(r"(\1+\\frac{\2}{\3})", text)
    text = _DERIVATIVE.sub(lambda m: _derived(m[2], m[3], m[1] or "1"), text)
    text = _PARTIAL.sub(lambda m: _derived(m[2], m[3], (m[1] or "1") + m[4].lstrip("\\")), text)
    text = _DOTS.sub(lambda m: _derived(m[2], None, str(len(m[1]))), text)
    text = _INDEXED_E.sub(r"Q_{\1\2}", _GAMMA.sub(r"g_{\1}", text))
    text = _PRIMES.sub(lambda m: _derived(m[1], None, str(max(m[2].count("'"), m[2].count(r"\prime")))), text)
    return _CALLED.sub(_product, text)


def _derived(variable: str, index: str | None, order: str) -> str:
    return f"{variable}_{{{index or ''}d{order}}}"


def _product(match: re.Match[str]) -> str:
    """A letter before a bracket is a factor, unless it is a function's, or the bracket holds one letter or number."""
    name = match[1].lstrip("\\")
    called = name in _FUNCTIONS or (match[1].startswith("\\") and name not in GREEK) or name in FUNCTIONS
    return match[0] if called else rf"{match[1]}{match[2]}\cdot("


def with_one_log(left: str, right: str) -> list[tuple[str, str]]:
    """Two answers, `\\log` alike in both: to base ten or natural as the other side says, either where it does not."""
    left, right = (re.sub(r"\\lg(?![A-Za-z])", lambda _: _TO_TEN, text) for text in (left, right))
    bare = [bool(_BARE_LOG.search(text)) for text in (left, right)]
    if not any(bare):
        return [(left, right)]
    other = right if bare[0] else left
    meanings = [_TO_TEN] if _TO_TEN in other else [_NATURAL] if all(bare) or r"\ln" in other else [_NATURAL, _TO_TEN]

    def read_as(meaning: str) -> tuple[str, str]:
        return _BARE_LOG.sub(lambda _: meaning, left), _BARE_LOG.sub(lambda _: meaning, right)

    return [read_as(meaning) for meaning in meanings]
