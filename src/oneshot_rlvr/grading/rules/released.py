"""The reward that 1-shot RLVR was trained with (DeepScaleR's): equal as normalised strings, or equal under sympy.

Known faults that are kept: no `^{`, at most two letters, an integer gold needs an integer, both fractions must be
reduced, unparsable means wrong, percent signs and units are dropped on both sides. LaTeX becomes plain text with
pylatexenc, as there. Source: the released code's rules, arXiv 2504.20571.
"""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from functools import lru_cache

from pylatexenc.latex2text import LatexNodes2Text

from oneshot_rlvr.grading.compare import Symbols, Verdict
from oneshot_rlvr.grading.limits import too_hard, too_much
from oneshot_rlvr.grading.numbers import read_number
from oneshot_rlvr.grading.rules.latex_habits import FaultyError, braced_fractions, slash_as_fraction

logging.getLogger("pylatexenc").setLevel(logging.CRITICAL)  # it reports every odd answer

_ORDERED = "degree cm centimeter meter mile second minute hour day week month year foot feet inch yard"
_UNITS = [re.compile(rf"{unit}(?:es)?s? *(?:\^[0-9]+)?") for unit in _ORDERED.split(" ")]
_FRACTION = re.compile(r"-?[0-9]+.?/0*[1-9][0-9]*.?")
_GROUPED = re.compile(r"(\d)(,)(\d\d\d)($|\D)")
_SIGNS = {"√": "sqrt", "π": "pi", "∞": "inf", "∪": "U", "·": "*", "×": "*"}


def find(text: str) -> str | None:
    """What the last `\\boxed{...}` holds, braces counted whatever stands before them; an unclosed one hides all."""
    start = text.rfind(r"\boxed")
    depth = 0
    for position in range(start, len(text)) if start >= 0 else ():
        depth += (text[position] == "{") - (text[position] == "}")
        if text[position] == "}" and depth == 0:
            whole = text[start : position + 1]
            return whole[len(r"\boxed{") : -1] if whole.startswith(r"\boxed{") else None
    return None


def decide(answer: str, gold: str, symbols: Symbols | None = None) -> Verdict | None:
    """The released verdict."""
    if r"\boxed" in gold:
        if (inside := find(gold)) is None:
            return Verdict(False, "gold")
        gold = inside
    if too_much(answer) or too_much(gold):
        return Verdict(answer == gold, "limit")
    if hendrycks(answer) == hendrycks(gold):
        return Verdict(True, "string")
    if symbols is None and "\\" in answer + gold:
        return None  # pylatexenc takes exponential time over some open braces: in a worker alone
    given, wanted = normalised(answer), normalised(gold)
    if given == wanted:
        return Verdict(True, "string")
    if not given or not wanted:
        return Verdict(False, "string")
    ours, theirs = _elements(given), _elements(wanted)
    if len(ours) != len(theirs) or (len(theirs) > 1 and (given[0], given[-1]) != (wanted[0], wanted[-1])):
        return Verdict(False, "structure")
    verdicts = [_element(a, b, symbols) for a, b in zip(ours, theirs, strict=True)]
    if False in verdicts:
        return Verdict(False, "structure")
    return None if None in verdicts else Verdict(True, "symbolic" if symbols else "number")


def _element(given: str, wanted: str, symbols: Symbols | None) -> bool | None:
    if _FRACTION.fullmatch(given) and _FRACTION.fullmatch(wanted):
        return given == wanted  # both are fractions: an unreduced one is wrong
    if _is_integer(given) != _is_integer(wanted):
        return False
    ours, theirs = _exact(given), _exact(wanted)
    if ours is not None and theirs is not None:
        return ours == theirs
    both = f"({wanted})-({given})"
    letters = {character for character in both.replace("sqrt", "").replace("frac", "") if character.isalpha()}
    if len(letters) > 2 or "^{" in both or "^(" in both or re.search(r"\^[0-9]+\^|\^[0-9][0-9]+", both):
        return False
    if too_hard(given) or too_hard(wanted):
        return False
    return None if symbols is None else symbols.is_zero(both)


def _exact(text: str) -> Fraction | None:
    """A plain number's value, without asking sympy."""
    number = read_number(text) if re.fullmatch(r"-?[\d./]+", text, re.A) else None
    return number.value if number else None


def _is_integer(text: str) -> bool:
    try:
        value = float(_ungrouped(text))
        return abs(value - round(value)) <= 1e-7
    except (ValueError, OverflowError):
        return False


def hendrycks(text: str) -> str:
    """The MATH dataset's string rule: one spelling, units in `\\text{ ` off, `k=` off, 0.5 as a fraction."""
    text = text.strip()
    if match := re.search(r"^\\text\{(.+?)\}$", text):
        text = match[1].strip()
    try:
        return _hendrycks(text)
    except FaultyError:
        return text


def _hendrycks(text: str) -> str:
    text = text.replace("\n", "").replace(r"\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac").replace(r"\left", "").replace(r"\right", "")
    text = text.replace(r"^{\circ}", "").replace(r"^\circ", "").replace(r"\$", "")
    text, *units = text.split(r"\text{ ")
    if len(units) > 1:
        raise FaultyError(text)
    text = text.replace(r"\%", "").replace(" .", " 0.").replace("{.", "{0.")
    text = "0" + text if text.startswith(".") else text
    name, equals, value = text.partition("=")
    if equals and "=" not in value and len(name) <= 2:
        text = value
    start, *roots = text.split(r"\sqrt")
    if not all(roots):
        raise FaultyError(text)
    text = start + "".join(rf"\sqrt{root if root[0] == '{' else f'{{{root[0]}}}{root[1:]}'}" for root in roots)
    if (text := text.replace(" ", "")).endswith(r"\frac"):
        raise FaultyError(text)
    with_braces = _or_as_it_is(text)
    return slash_as_fraction(r"\frac{1}{2}" if with_braces == "0.5" else with_braces)


def _or_as_it_is(text: str) -> str:
    try:
        return braced_fractions(text)
    except FaultyError:
        return text


@lru_cache(maxsize=4096)
def normalised(text: str) -> str:
    """The second normalisation, towards plain text: no units, `\\frac{a}{b}` as `a/b`, mixed numbers as sums."""
    if match := re.search(r"^\\text\{(.+?)\}$", text):
        text = match[1]
    text = text.replace(r"\%", "%").replace(r"\$", "$").replace("$", "").replace("%", "")
    text = text.replace(" or ", " , ").replace(" and ", " , ")
    for word, power in (("million", 6), ("billion", 9), ("trillion", 12)):
        text = text.replace(word, f"*10^{power}")
    for unit in _UNITS:
        text = unit.sub("", text)
    text = re.sub(r"\^ *\\circ", "", text)
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = re.sub(r",\\! *", "", text)
    if "," not in text and _is_integer(text):
        text = str(round(float(text)))
    if "\\" in text:
        text = _plain(text)
    text = re.sub(r"- *", "-", text)
    text = re.sub(r"([0-9]) +([0-9])", r"\1+\2", text).replace(" ", "").replace("{", "").replace("}", "").lower()
    return str(int(float(text.replace(",", "")))) if _is_integer(text) else text


def _plain(text: str) -> str:
    """LaTeX as pylatexenc writes it in plain text; as it is where that trips."""
    text = text.replace(r"\tfrac", r"\frac").replace(r"\dfrac", r"\frac").replace(r"\frac", r" \frac")
    try:
        plain = LatexNodes2Text().latex_to_text(text)
    except Exception:  # its macros raise whatever they trip over
        return text
    for sign, name in _SIGNS.items():
        plain = plain.replace(sign, name)
    return plain.strip()


def _ungrouped(text: str) -> str:
    while (changed := _GROUPED.sub(r"\1\3\4", text)) != text:
        text = changed
    return text


def _elements(text: str) -> list[str]:
    text = _ungrouped(text)
    if len(text) > 2 and text[0] in "()[]" and text[-1] in "()[]" and not set(text[1:-1]) & set("()[]"):
        return [part.strip() for part in text[1:-1].split(",")]
    return [text]
