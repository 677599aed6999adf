"""The Qwen2.5-Math evaluation grader's rules, which the paper's test numbers were made with.

Known faults that are kept: a relative tolerance of 1e-4, also for integers; the value times and divided by 100 counts;
brackets are ignored; trailing words are dropped. Its evaluation of model output is not repeated.
"""

from __future__ import annotations

import math
import re

from oneshot_rlvr.grading.compare import Symbols, Verdict
from oneshot_rlvr.grading.limits import LONGEST, too_hard, too_much
from oneshot_rlvr.grading.normalise import canonical

TOLERANCE = 1e-4

_UNITS = [
    "degree",
    "mph",
    "kmph",
    "ft",
    "mile",
    "gm",
    "lb",
    "inch",
    "inches",
    "percent",
    "gal",
    "acre",
    "feet",
    "am",
    "pm",
    "hr",
    "day",
    "hour",
    "minute",
    "min",
    "second",
    "sec",
    "unit",
    "rs",
    "kg",
    "g",
    "month",
    "km",
    "m",
    "cm",
    "mm",
    "apple",
    "liter",
    "yard",
    "year",
    "litre",
    "metre",
    "meter",
    "square",
    "cubic",
    "east",
    "west",
    "noon",
    "dollar",
    "cent",
    "coin",
]
_UNIT = re.compile(
    r"(^|\W)(?:" + "|".join(sorted({u + s for u in _UNITS for s in ("", "s")}, key=len, reverse=True)) + r")($|\W)"
)


def decide(answer: str, gold: str, symbols: Symbols | None = None) -> Verdict | None:
    """The evaluation grader's verdict."""
    if too_much(answer) or too_much(gold):
        return Verdict(answer == gold, "limit")
    equal = _equal(stripped(answer), stripped(gold), symbols, 0)
    return None if equal is None else Verdict(equal, "symbolic" if symbols else "structure")


def after_boxed(text: str) -> str:
    """What follows the last "boxed": up to the closing brace, or to the next `$`, or to the end if it never closes."""
    tail = text.rsplit("boxed", 1)[1]
    if not tail.startswith("{"):
        return tail.split("$")[0].strip()
    depth = 0
    for position, character in enumerate(tail[: 4 * LONGEST]):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return tail[1:position]
    return tail[1:]


def stripped(text: str) -> str:
    """Its normalisation: one spelling, trailing `\\text{...}`, units, degrees, dollars and percent signs off."""
    text = text.strip().replace("\n", "").rstrip(".").replace(r"\!", "").replace("bmatrix", "pmatrix")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace(r"\left", "").replace(r"\right", "")
    text = text.replace(r"\{", "{").replace(r"\}", "}")
    without = re.sub(r"\\text\{.*?\}$", "", text).strip()
    text = without or text
    for _ in range(2):
        text = _UNIT.sub(r"\1\2", text) or text
    text = re.sub(r"\^\{?\\circ\}?|\\?[$%]|\\[()]", "", text)
    text = re.sub(r"\\text\{(.*?)\}", r"\1", text)
    text = re.sub(r"[xyz](?:=|\\in|\\to)", "", text).replace("and", "").replace(r"\mathbf", "")
    text = re.sub(r"(^|[ {])\.", r"\g<1>0.", text)
    text = re.sub(r"(\d+)\.0*(?=\D|$)", r"\1", text)
    name, equals, value = text.partition("=")
    if equals and "=" not in value and len(name) <= 2:
        text = value
    text = re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", text).replace(" ", "")
    text = re.sub(r"\\frac([^{])([^{])", r"\\frac{\1}{\2}", text)
    return re.sub(r"^(-?\d+)/(-?\d+)$", r"\\frac{\1}{\2}", text)


def _equal(answer: str, gold: str, symbols: Symbols | None, depth: int) -> bool | None:
    if answer.lower() == gold.lower():
        return True
    if gold in "ABCDE" and len(gold) == 1 and re.findall(r"\b([A-E])\b", answer.upper())[-1:] == [gold]:
        return True
    ours, theirs = _number(answer), _number(gold)
    if ours is not None and theirs is not None:
        return any(math.isclose(ours, item, rel_tol=TOLERANCE) for item in (theirs / 100, theirs, theirs * 100))
    if not answer or depth > 3:
        return False
    bare_answer, bare_gold = (re.sub(r"[{}()]", "", _unbracketed(a, b)) for a, b in ((answer, gold), (gold, answer)))
    if bare_answer.lower() == bare_gold.lower():
        return True
    if all(re.fullmatch(r"[(\[].+[)\]]", text) for text in (answer, gold)):
        return _each(answer[1:-1].split(","), gold[1:-1].split(","), symbols, depth)
    matrix = re.compile(r"\\begin\{pmatrix\}(.*)\\end\{pmatrix\}")
    if (left := matrix.fullmatch(answer)) and (right := matrix.fullmatch(gold)):
        rows, wanted = ([row for row in m[1].split("\\\\") if row] for m in (left, right))
        if [row.count("&") for row in rows] != [row.count("&") for row in wanted]:
            return False
        return _each("&".join(rows).split("&"), "&".join(wanted).split("&"), symbols, depth)
    if answer.count("=") == 1 and gold.count("=") == 1:
        return _equations(answer, gold, symbols)
    for text, other in ((answer, gold), (gold, answer)):
        name, equals, value = text.partition("=")
        if equals and "=" not in value and len(name) <= 2 and "=" not in other:
            return _equal(value, other, symbols, depth + 1)
    return _symbolic(answer, gold, symbols)


def _number(text: str) -> float | None:
    plain = text.replace(",", "")
    try:
        return float(plain) if re.fullmatch(r"[-+]?[\d.]+(?:e[-+]?\d+)?", plain, re.I | re.A) else None
    except ValueError:
        return None


def _unbracketed(text: str, other: str) -> str:
    square = text.startswith("[") and text.endswith("]") and not (other.startswith("(") and other.endswith(")"))
    round_ = text.startswith("(") and text.endswith(")") and not (other.startswith("[") and other.endswith("]"))
    return text.strip("[]()") if square or round_ else text


def _each(ours: list[str], theirs: list[str], symbols: Symbols | None, depth: int) -> bool | None:
    if len(ours) != len(theirs):
        return False
    found = [_equal(a, b, symbols, depth + 1) for a, b in zip(ours, theirs, strict=True)]
    return False if False in found else None if None in found else True


def _equations(answer: str, gold: str, symbols: Symbols | None) -> bool | None:
    """Both are equations: the differences of their sides are equal, or opposite."""
    (a, b), (c, d) = answer.split("="), gold.split("=")
    if not all((a, b, c, d)):
        return False
    ours, theirs = f"{a}-({b})", f"{c}-({d})"
    found = [_symbolic(ours, theirs, symbols), _symbolic(f"-({ours})", theirs, symbols)]
    return True if True in found else None if None in found else False


def _symbolic(answer: str, gold: str, symbols: Symbols | None) -> bool | None:
    answer, gold = canonical(answer), canonical(gold)
    if not answer or not gold or too_hard(answer) or too_hard(gold):
        return False
    if symbols is None:
        return None
    if symbols.same_value(answer, gold):
        return True
    ours, theirs = symbols.number(answer), symbols.number(gold)
    if ours is None or theirs is None or ours.imag or theirs.imag:
        return False
    return math.isclose(ours.real, theirs.real, rel_tol=TOLERANCE)
