"""Plain numbers as exact fractions: compared without a tolerance, but for one written rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

LARGEST_EXPONENT = 400  # of ten; nobody's answer is larger, and exact arithmetic stays instant
MOST_ROUNDED_DIGITS = 15
ENOUGH_DECIMALS = 6  # a rounded decimal with fewer is no answer to a question with an exact one

_NUMBER = re.compile(r"([-+]?)(\d+\.?\d*|\.\d+)")
_SCIENTIFIC = re.compile(
    r"([-+]?)(?:(\d+\.?\d*|\.\d+)(?:\\times|\\cdot|\*|x(?=10\^)))?10\^\{?([-+]?\d+)\}?|"
    r"([-+]?)(\d+\.?\d*|\.\d+)[eE]([-+]?\d+)"
)
_THOUSANDS = re.compile(r"([-+]?)(\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+)(\.\d+)?")
_RATIO = re.compile(r"([-+]?)(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")
_FRACTION = re.compile(r"([-+]?)\\frac\{([-+]?)(\d+\.?\d*)\}\{([-+]?)(\d+\.?\d*)\}")
_MIXED = re.compile(r"([-+]?)(\d+) ?(?:\\frac\{(\d+)\}\{(\d+)\}|(?<= )(\d+)/(\d+))")
_RECURRING = re.compile(r"([-+]?)(\d*)\.(\d*)\\(?:overline|bar|dot)\{(\d+)\}")
_DIGITS = "0123456789"


@dataclass(frozen=True)
class Number:
    """An exact value; `places` and `digits` describe a number written as a decimal, else None and 0."""

    value: Fraction
    places: int | None = None
    digits: int = 0


def read_number(text: str) -> Number | None:
    """The number that a canonical string plainly is, else None.

    Integers, decimals, thousands separators, scientific notation, `a/b`, `\\frac{a}{b}`, mixed and recurring numbers.
    Only ASCII digits count as digits.

    >>> read_number(r"1\\frac{2}{3}").value
    Fraction(5, 3)
    """
    if not text or not text.isascii() or not (text[-1] in _DIGITS or text[-1] in ".}"):
        return None
    for pattern, value in _FORMS:
        if match := pattern.fullmatch(text):
            try:
                return value(match)
            except ZeroDivisionError:
                return None
    return None


def same_number(left: Number, right: Number) -> bool:
    """Exact equality, or one is the other rounded as `rounds_to` allows."""
    return left.value == right.value or rounds_to(left, right.value) or rounds_to(right, left.value)


def rounds_to(decimal: Number, value: Fraction) -> bool:
    """Whether a decimal stands for a value that no decimal can express, such as 0.333333 for 1/3.

    It must show at least six decimals and six digits, and lie within one unit of its last place. Never for integers and
    terminating decimals: 12.8000001 is not 12.8.
    """
    if not _enough(decimal) or _terminates(value):
        return False
    return abs(decimal.value - value) < Fraction(1, 10 ** (decimal.places or 0))


def rounds_to_real(decimal: Number, value: float) -> bool:
    """The same for an irrational value: 3.141593 for pi. What has more digits than a calculator shows means itself."""
    return (
        _enough(decimal)
        and decimal.digits <= MOST_ROUNDED_DIGITS
        and abs(float(decimal.value) - value) < 10.0 ** -(decimal.places or 0)
    )


def _enough(decimal: Number) -> bool:
    return decimal.places is not None and decimal.places >= ENOUGH_DECIMALS and decimal.digits >= ENOUGH_DECIMALS


def _terminates(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _sign(sign: str | None) -> int:
    return -1 if sign == "-" else 1


def _decimal(match: re.Match[str]) -> Number:
    return _as_decimal(_sign(match[1]), match[2], 0)


def _as_decimal(sign: int, text: str, exponent: int) -> Number:
    whole, point, places = text.partition(".")
    value = sign * Fraction(text if places or not point else whole) * Fraction(10) ** exponent
    if not point:
        return Number(value)
    return Number(value, max(len(places) - exponent, 0), len((whole + places).lstrip("0")))


def _scientific(match: re.Match[str]) -> Number | None:
    exponent = int(match[3] or match[6])
    if abs(exponent) > LARGEST_EXPONENT:
        return None
    return _as_decimal(_sign(match[1] or match[4]), match[2] or match[5] or "1", exponent)


def _thousands(match: re.Match[str]) -> Number:
    return _as_decimal(_sign(match[1]), re.sub("[, ]", "", match[2]) + (match[3] or ""), 0)


def _ratio(match: re.Match[str]) -> Number:
    return Number(_sign(match[1]) * Fraction(match[2]) / Fraction(match[3]))


def _fraction(match: re.Match[str]) -> Number:
    sign = _sign(match[1]) * _sign(match[2]) * _sign(match[4])
    return Number(sign * Fraction(match[3]) / Fraction(match[5]))


def _mixed(match: re.Match[str]) -> Number:
    top, bottom = int(match[3] or match[5]), int(match[4] or match[6])
    return Number(_sign(match[1]) * (int(match[2]) + Fraction(top, bottom)))


def _recurring(match: re.Match[str]) -> Number:
    start, cycle = match[3], match[4]
    tail = Fraction(int(cycle), (10 ** len(cycle) - 1) * 10 ** len(start))
    return Number(_sign(match[1]) * (Fraction(f"{match[2] or 0}.{start or 0}") + tail))


_FORMS = (
    (_NUMBER, _decimal),
    (_THOUSANDS, _thousands),
    (_RATIO, _ratio),
    (_FRACTION, _fraction),
    (_MIXED, _mixed),
    (_SCIENTIFIC, _scientific),
    (_RECURRING, _recurring),
)
