"""The Qwen2.5-Math evaluation grader's rules, which the paper's test numbers were made with.

Known faults that are kept: a relative tolerance of 1e-4, also for integers; the value times and divided by 100 counts;
brackets are ignored; units and trailing words are dropped; number words anywhere are the number; of `1, 2, 3` sympy's
LaTeX parser reads the first element alone. What it evaluates as Python is parsed here (`parsing.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

from oneshot_rlvr.grading.compare import Symbols, Verdict
from oneshot_rlvr.grading.limits import LONGEST, too_hard, too_much
from oneshot_rlvr.grading.rules.latex_habits import FaultyError, braced_fractions, slash_as_fraction
from oneshot_rlvr.grading.rules.qwen_words import number_in_words, without_units

TOLERANCE = 1e-4
MOST_NESTED = 8  # tuples in tuples

_MATRIX = re.compile(r"\\begin\{[pb]matrix\}(.*)\\end\{[pb]matrix\}", re.S)
_BRACKETED = re.compile(r"[(\[].+[)\]]")
_ASSIGNED = ("x=", "y=", "z=", r"x\in", r"y\in", r"z\in", r"x\to", r"y\to", r"z\to")


def find(text: str) -> str | None:
    """The answer in a response: Minerva's closing sentence, the last box, "he answer is", or the last number."""
    text = text.replace("\u043a\u0438", "")
    if "final answer is $" in text and "$. I hope" in text:
        found = text.split("final answer is $", 1)[1].split("$. I hope", 1)[0].strip()
    elif "boxed" in text:
        found = _after_boxed(text)
    elif phrase := next((p for p in ("he answer is", "final answer is") if p in text), None):
        found = text.rsplit(phrase, 1)[1].strip()
    elif "答案是" in text:
        found = text.split("答案是")[1].strip().split("\n\n")[0].strip()
    else:
        numbers = re.findall(r"-?\d*\.?\d+", text.replace(",", ""), re.A)
        found = numbers[-1] if numbers else ""
    found = re.sub(r"\n\s*", "", found).removeprefix(":").removesuffix(".").removesuffix("/")
    return found or None


def decide(answer: str, gold: str, symbols: Symbols | None = None, units: bool = True) -> Verdict | None:
    """The evaluation grader's verdict; `units` are dropped, but for the sets that it keeps them in (Minerva)."""
    if too_much(answer) or too_much(gold):
        return Verdict(answer == gold, "limit")
    equal = _equal(stripped(answer, units), stripped(gold, units), symbols, 0)
    return None if equal is None else Verdict(equal, "symbolic" if symbols else "structure")


decide_with_units = partial(decide, units=False)


def _after_boxed(text: str) -> str:
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


@lru_cache(maxsize=4096)
def stripped(text: str, units: bool = True) -> str:
    """Its normalisation: one spelling; a trailing `\\text{...}`, units, degrees, dollars and percent signs off."""
    text = text.strip().replace("\n", "").rstrip(".").replace(r"\!", "")
    text = re.sub(r"\\begin\{array\}\{.*?\}", r"\\begin{pmatrix}", text)
    text = re.sub(r"\\end\{array\}", r"\\end{pmatrix}", text).replace("bmatrix", "pmatrix")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    text = text.replace(r"\neq", r"\ne").replace(r"\leq", r"\le").replace(r"\geq", r"\ge")
    text = text.replace(r"\left", "").replace(r"\right", "").replace(r"\{", "{").replace(r"\}", "}")
    text = re.sub(r"\\text{.*?}$", "", text).strip() or text
    if units:
        text = without_units(text)
    text = text.replace(r"^{\circ}", "").replace(r"^\circ", "").replace(r"\$", "").replace("$", "")
    text = number_in_words(text.replace(r"\(", "").replace(r"\)", ""))
    text = re.sub(r"\\text\{(.*?)\}", r"\1", text)
    for name in _ASSIGNED:
        text = text.replace(name, "")
    text = text.replace(r"\emptyset", "{}").replace(r"(-\infty,\infty)", r"\mathbb{R}")
    text = text.replace(r"\%", "").replace("%", "").replace(" .", " 0.").replace("{.", "{0.")
    text = text.replace("infinity", r"\infty")
    if r"\infty" not in text:
        text = text.replace("inf", r"\infty")
    text = re.sub(r"\\mbox{.*?}", "", text.replace("and", "").replace(r"\mathbf", ""))
    if "j" in text and "i" not in text:
        text = text.replace("j", "i")
    text = re.sub(r"(\d+)\.0*$", r"\1", re.sub(r"(\d+)\.0*([^\d])", r"\1\2", text))
    text = "0" + text if text.startswith(".") else text
    name, equals, value = text.partition("=")
    if equals and "=" not in value and len(name) <= 2:
        text = value
    text = re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", text).replace(" ", "")
    try:
        text = braced_fractions(text)
    except FaultyError:
        return text
    return slash_as_fraction(text, roots=True)


def _equal(answer: str, gold: str, symbols: Symbols | None, depth: int) -> bool | None:
    if answer.strip().lower() == gold.strip().lower():
        return True
    if gold in ("A", "B", "C", "D", "E") and re.findall(r"\b[A-E]\b", answer.upper())[-1:] == [gold]:
        return True
    ours, theirs = _number(answer), _number(gold)
    if ours is not None and theirs is not None:
        return any(math.isclose(item, ours, rel_tol=TOLERANCE) for item in (theirs / 100, theirs, theirs * 100))
    if not answer or depth > MOST_NESTED:
        return False
    answer, gold = answer.strip(), gold.strip()
    if "pmatrix" in answer and "pmatrix" not in gold:
        gold = _as_matrix(gold)
    bare, bare_gold = _unbracketed(answer, gold)
    if bare.lower() == bare_gold.lower():
        return True
    parts = _parts(answer, gold)
    return _any(
        lambda: parts is not None and _all(_equal(a, b, symbols, depth + 1) for a, b in parts),
        lambda: _as_equations(answer, gold, symbols, depth),
        lambda: _symbolic(answer, gold, symbols),
    )


def _number(text: str) -> float | None:
    plain = text.replace(",", "")
    try:
        return float(plain)
    except ValueError:
        pass
    try:
        return float(plain.removesuffix("%").removesuffix("\\")) / 100 if plain.endswith("%") else None
    except ValueError:
        return None


def _as_matrix(text: str) -> str:
    """A list in braces as a column, in the original's spelling."""
    found = [match.strip("{}").replace(",", "\\") for match in re.findall(r"\{.*,.*\}", text)]
    return ", ".join(rf"\begin{{pmatrix}}{inside}\end{{pmatrix}}" for inside in found)


def _unbracketed(answer: str, gold: str) -> tuple[str, str]:
    square = answer.startswith("[") and answer.endswith("]") and not gold.startswith("(")
    rounded = answer.startswith("(") and answer.endswith(")") and not gold.startswith("[")
    if square or rounded:
        answer, gold = answer.strip("[]()"), gold.strip("[]()")
    return re.sub(r"[{}()]", "", answer), re.sub(r"[{}()]", "", gold)


def _parts(answer: str, gold: str) -> list[tuple[str, str]] | None:
    """The pairs of elements of two tuples, or of two matrices of one shape; None for anything else."""
    if _BRACKETED.match(answer) and _BRACKETED.match(gold):
        ours, theirs = answer[1:-1].split(","), gold[1:-1].split(",")
        if len(ours) == len(theirs):
            return list(zip(ours, theirs, strict=True))
    if (left := _MATRIX.fullmatch(answer)) and (right := _MATRIX.fullmatch(gold)):
        rows, wanted = ([row.strip() for row in m[1].split("\\\\") if row.strip()] for m in (left, right))
        if [row.count("&") for row in rows] == [row.count("&") for row in wanted]:
            return list(zip("&".join(rows).split("&"), "&".join(wanted).split("&"), strict=True))
    return None


def _as_equations(answer: str, gold: str, symbols: Symbols | None, depth: int) -> bool | None:
    """Two equations whose sides differ by the same, or the opposite; a short name's value against a value."""
    ours, theirs = answer.count("="), gold.count("=")
    if ours == theirs == 1:
        (a, b), (c, d) = ([side.strip() for side in text.split("=")] for text in (answer, gold))
        left, right = f"{a} - ({b})", f"{c} - ({d})"
        return _any(lambda: _symbolic(left, right, symbols), lambda: _symbolic(f"-({left})", right, symbols))
    for text, other, swapped in ((answer, gold, False), (gold, answer, True)):
        name, equals, value = text.partition("=")
        if equals and "=" not in value and len(name.strip()) <= 2 and "=" not in other:
            pair = (other, value) if swapped else (value, other)
            return _equal(*pair, symbols, depth + 1)
    return False


def _symbolic(answer: str, gold: str, symbols: Symbols | None) -> bool | None:
    if too_hard(answer) or too_hard(gold):
        return False
    return None if symbols is None else symbols.same_as_parsed(answer, gold)


def _all(values: Iterable[bool | None]) -> bool | None:
    found = list(values)
    return False if False in found else None if None in found else True


def _any(*tests: Callable[[], bool | None]) -> bool | None:
    """One test after the other, up to the first that holds."""
    open_ones = False
    for test in tests:
        if found := test():
            return True
        open_ones |= found is None
    return None if open_ones else False
