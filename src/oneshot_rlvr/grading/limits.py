"""Deterministic caps on what symbolic work is given, so that a limit in seconds rarely decides.

Model output is hostile text: towers of powers, factorials of factorials, sums to 10^9. What exceeds a cap is wrong
unless it is the gold's own string.
"""

from __future__ import annotations

import re

LONGEST = 1000  # characters of an answer
MOST_ITEMS = 100  # of a list, tuple or matrix
DEEPEST = 16  # nested brackets
MOST_DIGITS = 400  # of one number
LARGEST_POWER = 10_000  # a number in an exponent
LARGEST_FACTORIAL = 3_000
LARGEST_BOUND = 1_000  # of a sum, product or integral

_EXPONENT = re.compile(r"\^\s*(?:\{[^{}A-Za-z\\]*?|[-+(]*)(\d+)")
_TOWER = re.compile(r"\^\{[^{}A-Za-z]*\^|\^\{\d+\}\^|\^\(\d+\)\^|\^\{[^{}]*\^\{[^{}]*\^")
_FACTORIAL = re.compile(r"(\d+)\)*!|![)\s]*!|\^[{(]*\w+!")
_BOUNDED = re.compile(r"\\(?:sum|prod|int|binom)")


def too_much(text: str) -> bool:
    """Whether an answer, as it was written, is too long or too nested to be looked into."""
    return len(text) > LONGEST or _deepest(text) > DEEPEST


def too_hard(text: str) -> bool:
    """Whether a canonical answer asks for more arithmetic than anybody's answer does."""
    if any(len(digits) > MOST_DIGITS for digits in re.findall(r"\d+", text)):
        return True
    if any(_beyond(power, LARGEST_POWER) for power in _EXPONENT.findall(text)) or _TOWER.search(text):
        return True
    for match in _FACTORIAL.finditer(text):
        if not match[1] or _beyond(match[1], LARGEST_FACTORIAL):
            return True
    return bool(_BOUNDED.search(text)) and any(_beyond(d, LARGEST_BOUND) for d in re.findall(r"\d+", text))


def _beyond(digits: str, limit: int) -> bool:
    return len(digits) > len(str(limit)) or int(digits) > limit


def _deepest(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "{[(":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}])":
            depth = max(depth - 1, 0)
    return deepest
