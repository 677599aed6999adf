"""Whether an extracted answer equals the gold: canonical string, then exact number, then math-verify.

The first two decide almost every real answer in microseconds and cannot hang. Only the rest goes to math-verify, in a
process that can be killed (`worker.py`).
"""

from __future__ import annotations

import re
from fractions import Fraction

LONGEST = 400  # characters; a longer answer is wrong without a look at it
MOST_DIGITS = 60  # of one number; exact arithmetic beyond is nobody's answer

_DROP = re.compile(r"\\(?:left|right|displaystyle|textstyle)(?![A-Za-z])|\\!|(?<=\d)\\,(?=\d{3})")
_SPACE = re.compile(r"\\[,;: ]|~")
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox)\{([^{}]*)\}")
_THOUSANDS = re.compile(r"^-?\d{1,3}(,\d{3})+(\.\d+)?$")
_NUMBER = re.compile(r"^-?(\d+\.?\d*|\.\d+)$")
_FRACTION = re.compile(r"^(-?)\\frac\{(-?[\d.]+)\}\{(-?[\d.]+)\}$|^(-?)\\frac(\d)(\d)$")
_RATIO = re.compile(r"^(-?\d+)/(\d+)$")
_MIXED = re.compile(r"^(-?)(\d+)\\frac\{(\d+)\}\{(\d+)\}$")
_TOO_BIG = re.compile(
    r"\^\s*\{?\s*-?\d{4,}|\^\s*\{[^{}]*\^|\d\^\d+\^|\d{3,}\s*!|\d{61,}|!\s*!|\\(?:prod|sum|int|binom)\b.*\d{5,}"
)


def canonical(answer: str) -> str:
    """One spelling for what prints the same: no outer `$`, spacing, `\\left`, final point; `\\dfrac` is `\\frac`.

    >>> canonical(r"$ \\dfrac{1}{2}. $")
    '\\\\frac{1}{2}'
    """
    text = answer.strip().rstrip("$.;, ").lstrip("$ ")
    text = re.sub(r"\\[dtc]frac", r"\\frac", text)
    text = text.replace("−", "-").replace("{,}", ",").replace("\\%", "%").replace("\\$", "")
    text = _SPACE.sub(" ", _DROP.sub("", text))
    text = _TEXT.sub(r"\1", text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".;,").strip()
    return re.sub(r"\s*([-+*/=^_{}(),|\[\]])\s*", r"\1", text)


def exact_number(text: str) -> Fraction | None:
    """The exact value of a canonical string that is plainly a number, else None.

    Integers, decimals, thousands separators, `a/b`, `\\frac{a}{b}`, mixed numbers.
    """
    if _THOUSANDS.match(text):
        text = text.replace(",", "")
    if len(re.sub(r"\D", "", text)) > MOST_DIGITS or not text.isascii():
        return None
    if _NUMBER.match(text):
        return Fraction(text)
    try:
        if match := _RATIO.match(text):
            return Fraction(int(match[1]), int(match[2]))
        if match := _MIXED.match(text):
            value = int(match[2]) + Fraction(int(match[3]), int(match[4]))
            return -value if match[1] else value
        if match := _FRACTION.match(text):
            sign, top, bottom = (match[1], match[2], match[3]) if match[2] else (match[4], match[5], match[6])
            value = Fraction(top) / Fraction(bottom)
            return -value if sign else value
    except (ZeroDivisionError, ValueError):
        return None
    return None


def quick_equal(answer: str, gold: str) -> bool | None:
    """Whether they are equal, by string or exact number; None when only symbols can tell.

    Two different plain numbers are different: 12.7 is not 12.8, and 12.80 is.
    """
    ours, theirs = canonical(answer), canonical(gold)
    if ours == theirs:
        return True
    if len(answer) > LONGEST or _TOO_BIG.search(ours):
        return False
    left, right = exact_number(ours), exact_number(theirs)
    if left is not None and right is not None:
        return left == right
    return None
