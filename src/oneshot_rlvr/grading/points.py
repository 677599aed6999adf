"""Equality of two sympy expressions by their values at points, exactly: in a worker process.

Two expressions that differ at one point are different. Two that agree to twenty digits at a point are subtracted
there, to as many digits as their size needs: `2^{2020}` is not `2^{2020} - 1`. What is left after that would need an
identity to sixty digits at eight unrelated points. Floors, ceilings and sums are compared at integers, where they jump.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import mpmath
import sympy

DIGITS = 20  # that must agree before two values are subtracted
WORKING = 50  # digits that are computed
MOST_DIGITS = 8_000  # of a difference; what is longer is not computed
TINY = mpmath.mpf(10) ** -DIGITS
INTEGERS = frozenset("ijklmnpqrstKMN")  # letters that count, beside a floor or a sum
_SIGNIFICANT = 40  # bits; fewer are noise
_SUBTRACTED = 3  # points at which agreeing values are subtracted
_JUMPING = (sympy.floor, sympy.ceiling, sympy.Sum, sympy.Product, sympy.Mod)
_ENDLESS = (sympy.Integral, sympy.Sum, sympy.Product)

_REALS = (
    (0.3141592, 0.5772156, 0.1618033, 0.6931471, 0.2718281, 0.8346268),
    (2.2360679, 1.7320508, 3.3166247, 1.4142135, 2.6457513, 1.2599210),
    (7.3890560, 5.8598744, 4.8104773, 9.8696044, 6.5808859, 8.5397342),
    (0.9159655, 0.7390851, 0.8862269, 0.4342944, 0.5671432, 0.6434105),
    (-1.3247179, -0.7608862, 2.5849817, -3.3598856, 1.1319882, -2.8077702),
    (-0.2614972, 0.3532363, -0.4124540, 0.6079271, -0.1100010, 0.2078795),
    (13.1415926, -11.5772156, 17.1618033, 10.6931471, -12.2718281, 19.8346268),
    (-21.3, 22.7, -23.9, 24.1, 25.3, -26.9),
)
_WHOLE = tuple(
    (n, (3 * n + 1) % 11 + 1, (5 * n + 2) % 13, (7 * n + 3) % 17, (2 * n + 5) % 7, (4 * n + 1) % 9)
    for n in (*range(1, 18), 24, 25, 27, 31, 32, 33, 36, 48, 49, 63, 64)
)
Point = dict[Any, Any]


def same_everywhere(ours: Any, theirs: Any) -> bool | None:
    """Whether both have one value wherever both are real (else: wherever both exist); None when too few points do."""
    symbols = symbols_of(ours, theirs)
    points = _points(symbols, jumping=ours.has(*_JUMPING) or theirs.has(*_JUMPING))
    found = [(point, a, b) for point in points if (pair := _pair(ours, theirs, point)) for a, b in (pair,)]
    real = [(point, a, b) for point, a, b in found if is_real(a) and is_real(b)]
    chosen = real if len(real) >= min(2, len(points)) else found
    if any(not close(a, b) for _, a, b in chosen):
        return False
    if len(chosen) < min(2, len(points)):
        return None
    return all(_vanishes(ours - theirs, point, a) for point, a, _ in chosen[:_SUBTRACTED])


def values_at_points(expressions: tuple[Any, ...]) -> list[list[Any]]:
    """The values of expressions at every point where all of them have one."""
    rows = [[value(e, point) for e in expressions] for point in _points(symbols_of(*expressions), jumping=False)]
    return [row for row in rows if all(v is not None and mpmath.isfinite(v) for v in row)]


def symbols_of(*expressions: Any) -> list[Any]:
    """Their free symbols in alphabetical order."""
    return sorted(set().union(*(e.free_symbols for e in expressions)), key=lambda symbol: symbol.name)


def _points(symbols: list[Any], jumping: bool) -> list[Point]:
    """Places for each symbol; beside a jumping function integers too, and only those where every letter counts."""
    if not symbols:
        return [{}]
    whole = [dict(zip(symbols, _row(symbols, row), strict=True)) for row in _WHOLE] if jumping else []
    if jumping and all(symbol.name in INTEGERS for symbol in symbols):
        return whole
    return [dict(zip(symbols, _row(symbols, row), strict=True)) for row in _REALS] + whole


def _row(symbols: list[Any], row: tuple[float, ...]) -> list[Any]:
    return [sympy.Rational(str(row[k % len(row)])) + sympy.Integer(k // len(row)) for _, k in zip(symbols, count())]


def _pair(ours: Any, theirs: Any, point: Point) -> tuple[Any, Any] | None:
    a, b = value(ours, point), value(theirs, point)
    return None if a is None or b is None or not (mpmath.isfinite(a) and mpmath.isfinite(b)) else (a, b)


def _vanishes(difference: Any, point: Point, size: Any) -> bool:
    """Whether a difference of two values of this size is zero, computed beyond their common digits."""
    digits = WORKING + max(0, int(mpmath.log10(abs(size)))) if size else WORKING
    if digits > MOST_DIGITS:
        return False
    found = value(difference, point, digits + 2 * WORKING)
    return found is not None and abs(found) <= mpmath.mpf(10) ** -WORKING


def value(expression: Any, point: Point | None = None, most: int = 4 * WORKING) -> Any:
    """The number that an expression is at a point, from computations with at most so many digits; None for none."""
    try:
        expression = expression.xreplace(point or {})
        if expression.has(*_ENDLESS):
            expression = expression.doit()
        found = expression.evalf(WORKING, maxn=most)
        if not found.is_number or found.has(sympy.nan, sympy.zoo, sympy.oo):
            return None
        return mpmath.mpc(*(_part(part) for part in found.as_real_imag()))
    except MemoryError:
        raise
    except Exception:  # sympy raises whatever it trips over
        return None


def _part(part: Any) -> Any:
    """One part of an evaluated number; one without a significant digit is what exact cancellation leaves: zero."""
    lost = isinstance(part, sympy.Float) and part._prec < _SIGNIFICANT  # pyrefly: ignore[unsupported-operation]
    return mpmath.mpf(0) if lost else mpmath.mpf(str(part))


def is_real(value: Any) -> bool:
    """Whether a value's imaginary part is nothing beside it."""
    return abs(value.imag) <= abs(value) * TINY


def close(a: Any, b: Any) -> bool:
    """Whether two values agree to `DIGITS` digits."""
    return bool(a == b or abs(a - b) <= max(abs(a), abs(b)) * TINY)
