"""The reward that 1-shot RLVR was trained with (DeepScaleR's): equal as normalised strings, or equal under sympy.

Known faults that are kept: no `^{`, at most two letters, an integer gold needs an integer, unparsable means wrong,
percent signs and units are dropped on both sides. Source: the released code's rules, arXiv 2504.20571.
"""

from __future__ import annotations

import re
from fractions import Fraction

from oneshot_rlvr.grading.compare import Symbols, Verdict
from oneshot_rlvr.grading.limits import too_hard, too_much
from oneshot_rlvr.grading.numbers import read_number
from oneshot_rlvr.problems.answers import last_boxed

_UNITS = [
    "degree",
    "centimeter",
    "cm",
    "meter",
    "mile",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "foot",
    "feet",
    "inch",
    "yard",
]
_UNIT = re.compile("(?:" + "|".join(_UNITS) + r")(?:es)?s? *(?:\^[0-9]+)?")
_INTEGER = re.compile(r"-?\d+")
_FRACTION = re.compile(r"-?\d+/0*[1-9]\d*")
_GROUPED = re.compile(r"(\d)(,)(\d{3})(?=$|\D)")


def decide(answer: str, gold: str, symbols: Symbols | None = None) -> Verdict | None:
    """The released verdict."""
    gold = (last_boxed(gold) or gold) if r"\boxed" in gold else gold
    if too_much(answer) or too_much(gold):
        return Verdict(answer == gold, "limit")
    if hendrycks(answer) == hendrycks(gold):
        return Verdict(True, "string")
    given, wanted = normalised(answer), normalised(gold)
    if given == wanted:
        return Verdict(True, "string")
    if not given:
        return Verdict(False, "string")
    ours, theirs = _elements(given), _elements(wanted)
    if len(ours) != len(theirs) or (len(theirs) > 1 and (given[0], given[-1]) != (wanted[0], wanted[-1])):
        return Verdict(False, "structure")
    verdicts = [_element(a, b, symbols) for a, b in zip(ours, theirs, strict=True)]
    if False in verdicts:
        return Verdict(False, "structure")
    return None if None in verdicts else Verdict(True, "symbolic" if symbols else "number")


def _element(given: str, wanted: str, symbols: Symbols | None) -> bool | None:
    if given == wanted:
        return True
    if _FRACTION.fullmatch(given) and _FRACTION.fullmatch(wanted):
        return False  # both are fractions: an unreduced one is wrong
    if bool(_INTEGER.fullmatch(given)) != bool(_INTEGER.fullmatch(wanted)):
        return False
    ours, theirs = _exact(given), _exact(wanted)
    if ours is not None and theirs is not None:
        return ours == theirs
    both = f"({wanted})-({given})"
    letters = {c for c in both.replace("sqrt", "").replace("frac", "") if c.isalpha()}
    if len(letters) > 2 or "^{" in both or "^(" in both or re.search(r"\^\d+\^|\^\d\d+", both):
        return False
    if too_hard(given) or too_hard(wanted):
        return False
    return None if symbols is None else symbols.same_value(_latex(given), _latex(wanted))


def _exact(text: str) -> Fraction | None:
    if match := re.fullmatch(r"(-?)(\d+)\+(\d+)/(\d+)", text):  # a mixed number
        return (
            (Fraction(int(match[3]), int(match[4])) + int(match[2])) * (-1 if match[1] else 1)
            if int(match[4])
            else None
        )
    number = read_number(text)
    return number.value if number else None


def _latex(text: str) -> str:
    return re.sub(r"sqrt\(([^()]*)\)", r"\\sqrt{\1}", text).replace("*", r"\cdot ").replace("pi", r"\pi ")


def hendrycks(text: str) -> str:
    """The MATH dataset's string rule: one spelling, units in `\\text{ ` off, `k=` off, 0.5 as a fraction."""
    text = text.strip().replace("\n", "").replace(r"\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace(r"\left", "").replace(r"\right", "")
    text = text.replace(r"^{\circ}", "").replace(r"^\circ", "").replace(r"\$", "").split(r"\text{ ")[0]
    text = text.replace(r"\%", "").replace("%", "")
    if match := re.fullmatch(r"\\text\{(.+?)\}", text):
        text = match[1]
    text = re.sub(r"(^|[ {])\.", r"\g<1>0.", text)
    name, equals, value = text.partition("=")
    if equals and "=" not in value and len(name) <= 2:
        text = value
    text = re.sub(r"\\sqrt([^{])", r"\\sqrt{\1}", text).replace(" ", "")
    text = re.sub(r"\\frac([^{])([^{])", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac([^{])\{", r"\\frac{\1}{", text)
    if text == "0.5":
        text = r"\frac{1}{2}"
    return re.sub(r"^(-?\d+)/(-?\d+)$", r"\\frac{\1}{\2}", text)


def normalised(text: str) -> str:
    """The second normalisation, towards plain text: no units, `\\frac{a}{b}` as `a/b`, mixed numbers as sums."""
    if match := re.fullmatch(r"\\text\{(.+?)\}", text.strip()):
        text = match[1]
    text = re.sub(r"\\?[%$]", "", text).replace(" or ", " , ").replace(" and ", " , ")
    for word, power in (("million", 6), ("billion", 9), ("trillion", 12)):
        text = text.replace(word, f"*10^{power}")
    text = re.sub(r"\^ *\\circ", "", _UNIT.sub("", text))
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = re.sub(r",\\! *", "", text)
    number = read_number(text.strip())
    if number and number.value.denominator == 1 and "/" not in text and "frac" not in text:
        text = str(number.value)
    if "\\" in text:
        text = _plain(text)
    text = re.sub(r"- *", "-", text)
    text = re.sub(r"(\d) +(\d)", r"\1+\2", text).replace(" ", "").replace("{", "").replace("}", "").lower()
    grouped = _GROUPED.sub(r"\1\3", text)
    return str(int(grouped)) if _INTEGER.fullmatch(grouped) else text


def _plain(text: str) -> str:
    text = re.sub(r"\\[dt]?frac", r" \\frac", text)
    text = re.sub(r"\\frac *([^{ ]) *([^{ ])", r"\\frac{\1}{\2}", text)
    for _ in range(4):  # from the inside
        text = re.sub(r"\\frac *\{([^{}]*)\} *\{([^{}]*)\}", r"\1/\2", text)
        text = re.sub(r"\\sqrt *\{([^{}]*)\}", r"sqrt(\1)", text)
    text = text.replace(r"\pi", "pi").replace(r"\cdot", "*").replace(r"\times", "*").replace(r"\infty", "inf")
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}", r"\1", text)
    return re.sub(r"\\[,;:! ]|\\(?:left|right)|\\(?=[A-Za-z])", "", text).strip()


def _elements(text: str) -> list[str]:
    ungrouped = _GROUPED.sub(r"\1\3", text)
    if (
        len(ungrouped) > 2
        and ungrouped[0] in "()[]"
        and ungrouped[-1] in "()[]"
        and not set(ungrouped[1:-1]) & set("()[]")
    ):
        return [part.strip() for part in ungrouped[1:-1].split(",")]
    return [ungrouped]
