"""Equality of expressions, in a worker process: math-verify's parser, then numbers at fixed points, then its `verify`.

Values at points (`points.py`) are exact where math-verify compares six decimals (it takes 2e-25 for 1.6e-19), need no
simplification, and cannot be fooled by a lost factor.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import mpmath
import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from math_verify import verify
from sympy.core.function import AppliedUndef

from oneshot_rlvr.grading.numbers import read_number, rounds_to_real
from oneshot_rlvr.grading.points import WORKING, close, same_everywhere, symbols_of, values_at_points
from oneshot_rlvr.grading.points import value as value_of
from oneshot_rlvr.grading.rules import parsing

_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\^\\circ")
_CONVERSION = ConversionConfig(lowercase_symbols=False)
_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError, NotImplementedError)


class MathVerify:
    """The `Symbols` of `compare.py`."""

    def __init__(self) -> None:
        mpmath.mp.dps = WORKING  # the process is this object's own

    def same_value(self, left: str, right: str) -> bool:
        """Whether two canonical expressions have one value for all values of their variables."""
        ours, theirs = expression(left), expression(right)
        if ours is None or theirs is None:
            return False
        if ours == theirs:
            return True
        if (same := _constants(left, ours, right, theirs)) is not None:
            return same
        if (same := same_everywhere(ours, theirs)) is not None:
            return same
        return bool(verify(ours, theirs, timeout_seconds=None) and verify(theirs, ours, timeout_seconds=None))

    def same_as_parsed(self, left: str, right: str) -> bool:
        """What the evaluation grader asks of two texts (`rules/parsing.py`)."""
        return parsing.same_as_parsed(left, right)

    def is_zero(self, text: str) -> bool:
        """What the released reward asks of a difference (`rules/parsing.py`)."""
        return parsing.is_zero(text)

    def same_equation(self, left: tuple[str, str], right: tuple[str, str]) -> bool:
        """Whether two equations say the same: the differences of their sides are proportional, or their numerators."""
        sides = [expression(side) for side in (*left, *right)]
        if any(side is None for side in sides):
            return False
        ours, theirs = sides[0] - sides[1], sides[2] - sides[3]
        if not symbols_of(ours, theirs):
            return False
        return _proportional(ours, theirs) or _proportional(_numerator(ours), _numerator(theirs))


def _proportional(ours: Any, theirs: Any) -> bool:
    pairs = [(x, y) for x, y in values_at_points((ours, theirs)) if not (x == 0 and y == 0)]
    if len(pairs) < 3 or any(x == 0 or y == 0 for x, y in pairs):
        return False
    first = pairs[0][0] / pairs[0][1]
    return all(close(x / y, first) for x, y in pairs[1:])


def _numerator(value: Any) -> Any:
    try:
        return sympy.fraction(sympy.together(value))[0]
    except _ERRORS:
        return value


@lru_cache(maxsize=256)
def expression(text: str) -> Any:
    """math-verify's reading of a canonical expression, with exact decimals and an imaginary `i`; or None."""
    text = _DEGREES.sub(r"(\1\\cdot\\pi/180)", text)
    try:
        with sympy.evaluate(False):
            found = latex2sympy(text, normalization_config=None, conversion_config=_CONVERSION)
    except Exception:  # the parser raises bare Exception on what it cannot read
        return None
    if not isinstance(found, sympy.Expr) or found.has(sympy.nan, sympy.zoo):
        return None
    try:
        found: Any = found.replace(lambda e: isinstance(e, sympy.UnevaluatedExpr), lambda e: e.args[0])
        swaps: dict[Any, Any] = {number: sympy.Rational(str(number)) for number in found.atoms(sympy.Float)}
        swaps |= {symbol: sympy.I for symbol in found.free_symbols if str(symbol) == "i"}
        swaps |= {call: sympy.Symbol(str(call)) for call in found.atoms(AppliedUndef)}
        return found.xreplace(swaps)
    except _ERRORS:
        return None


def _constants(left: str, ours: Any, right: str, theirs: Any) -> bool | None:
    """A decimal against an irrational constant; None for anything else."""
    if ours.free_symbols or theirs.free_symbols:
        return None
    for text, value in ((left, theirs), (right, ours)):
        number = read_number(text)
        if number is None or number.places is None:
            continue
        found = value_of(value)
        if found is None or found.imag or not mpmath.isfinite(found):
            return False
        if not _rational(value):
            return rounds_to_real(number, float(found.real))
        return close(found, mpmath.mpf(number.value.numerator) / number.value.denominator)
    return None


def _rational(value: Any) -> bool:
    try:
        return bool(sympy.nsimplify(value.doit()).is_rational) if value.is_rational is None else bool(value.is_rational)
    except _ERRORS:
        return False
