"""Equality of expressions, in a worker process: math-verify's parser, then numbers at fixed points, then its `verify`.

Two expressions that differ at one point are different, and two that agree to twenty digits at all of them are equal
(a wrong agreement would need an identity to that precision at eight unrelated points). This is exact where math-verify
compares six decimals (it takes 2e-25 for 1.6e-19), needs no simplification, and cannot be fooled by a lost factor.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import count
from typing import Any

import mpmath
import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from math_verify import verify
from sympy.core.function import AppliedUndef

from oneshot_rlvr.grading.numbers import read_number, rounds_to_real

DIGITS = 20  # that must agree
_WORKING = 50  # digits that are computed
_SIGNIFICANT = 40  # bits; fewer are noise
_TINY = mpmath.mpf(10) ** -DIGITS
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\^\\circ")
_CONVERSION = ConversionConfig(lowercase_symbols=False)
_POINTS = (
    (0.3141592, 0.5772156, 0.1618033, 0.6931471, 0.2718281, 0.8346268),
    (2.2360679, 1.7320508, 3.3166247, 1.4142135, 2.6457513, 1.2599210),
    (7.3890560, 5.8598744, 4.8104773, 9.8696044, 6.5808859, 8.5397342),
    (0.9159655, 0.7390851, 0.8862269, 0.4342944, 0.5671432, 0.6434105),
    (-1.3247179, -0.7608862, 2.5849817, -3.3598856, 1.1319882, -2.8077702),
    (-0.2614972, 0.3532363, -0.4124540, 0.6079271, -0.1100010, 0.2078795),
    (13.1415926, -11.5772156, 17.1618033, 10.6931471, -12.2718281, 19.8346268),
    (-21.3, 22.7, -23.9, 24.1, 25.3, -26.9),
)
_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError, NotImplementedError)


class MathVerify:
    """The `Symbols` of `compare.py`."""

    def __init__(self) -> None:
        mpmath.mp.dps = _WORKING  # the process is this object's own

    def same_value(self, left: str, right: str) -> bool:
        """Whether two canonical expressions have one value for all values of their variables."""
        ours, theirs = expression(left), expression(right)
        if ours is None or theirs is None:
            return False
        if ours == theirs:
            return True
        if (same := _constants(left, ours, right, theirs)) is not None:
            return same
        if (same := _same_at_points(ours, theirs)) is not None:
            return same
        return bool(verify(ours, theirs, timeout_seconds=None) and verify(theirs, ours, timeout_seconds=None))

    def number(self, text: str) -> complex | None:
        """The value of a constant expression, else None."""
        found = expression(text)
        value = None if found is None or found.free_symbols else _number(found)
        return None if value is None else complex(value)

    def same_equation(self, left: tuple[str, str], right: tuple[str, str]) -> bool:
        """Whether two equations say the same: the differences of their sides are proportional."""
        sides = [expression(side) for side in (*left, *right)]
        if any(side is None for side in sides):
            return False
        a, b, c, d = sides
        values = [_values((a, b, c, d), point) for point in _POINTS]
        pairs = [(v[0] - v[1], v[2] - v[3]) for v in values if v is not None]
        pairs = [(x, y) for x, y in pairs if not (x == 0 and y == 0)]
        if len(pairs) < 3 or any(x == 0 or y == 0 for x, y in pairs) or not _symbols((a, b, c, d)):
            return False
        first = pairs[0][0] / pairs[0][1]
        return all(_close(x / y, first) for x, y in pairs[1:])


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
        found = found.replace(lambda e: isinstance(e, sympy.UnevaluatedExpr), lambda e: e.args[0])
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
        found = _number(value)
        if found is None or found.imag or not mpmath.isfinite(found):
            return False
        exact = mpmath.mpf(number.value.numerator) / number.value.denominator
        return _close(found, exact) or bool(not _rational(value) and rounds_to_real(number, float(found.real)))
    return None


def _rational(value: Any) -> bool:
    try:
        return bool(sympy.nsimplify(value.doit()).is_rational) if value.is_rational is None else bool(value.is_rational)
    except _ERRORS:
        return False


def _same_at_points(ours: Any, theirs: Any) -> bool | None:
    """Whether both have one value wherever both are real (else: wherever both exist); None when too few points do."""
    points = _POINTS if _symbols((ours, theirs)) else _POINTS[:1]
    values = [found for point in points if (found := _values((ours, theirs), point)) is not None]
    real = [(a, b) for a, b in values if _real(a) and _real(b)]
    chosen = real if len(real) >= min(2, len(points)) else values
    if any(not _close(a, b) for a, b in chosen):
        return False
    return True if len(chosen) >= min(2, len(points)) else None


def _symbols(expressions: tuple[Any, ...]) -> list[Any]:
    return sorted(set().union(*(e.free_symbols for e in expressions)), key=lambda symbol: symbol.name)


def _values(expressions: tuple[Any, ...], point: tuple[float, ...]) -> list[Any] | None:
    """The expressions at a point, which has a value for each variable in alphabetical order; None where one fails."""
    places = {
        s: sympy.Rational(str(point[k % len(point)])) + k // len(point) for s, k in zip(_symbols(expressions), count())
    }
    found = [_number(e, places) for e in expressions]
    return None if any(value is None or not mpmath.isfinite(value) for value in found) else found


def _number(value: Any, places: dict[Any, Any] | None = None) -> Any:
    try:
        value = value.xreplace(places or {})
        if value.has(sympy.Integral, sympy.Sum, sympy.Product):
            value = value.doit()
        found = value.evalf(_WORKING, maxn=4 * _WORKING)
        if not found.is_number or found.has(sympy.nan, sympy.zoo, sympy.oo):
            return None
        return mpmath.mpc(*(_part(part) for part in found.as_real_imag()))
    except MemoryError:
        raise
    except Exception:  # sympy raises whatever it trips over
        return None


def _part(part: Any) -> Any:
    """One part of an evaluated number; one without a significant digit is what exact cancellation leaves: zero."""
    lost = isinstance(part, sympy.Float) and part._prec < _SIGNIFICANT
    return mpmath.mpf(0) if lost else mpmath.mpf(str(part))


def _real(value: Any) -> bool:
    return abs(value.imag) <= abs(value) * _TINY


def _close(a: Any, b: Any) -> bool:
    return bool(a == b or abs(a - b) <= max(abs(a), abs(b)) * _TINY)
