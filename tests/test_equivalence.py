"""When two answers are equal: by string, exact number, structure, symbols; and what must never change a verdict."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import answer_pairs
from oneshot_rlvr.grading.compare import decide
from oneshot_rlvr.grading.normalise import canonical
from oneshot_rlvr.grading.numbers import read_number
from oneshot_rlvr.grading.symbolic import MathVerify

SYMBOLS = MathVerify()


def equal(a: str, b: str) -> bool:
    """The verdict with symbols, which must be the same either way round."""
    there, back = decide(a, b, SYMBOLS), decide(b, a, SYMBOLS)
    assert there is not None and back is not None
    assert there.equal == back.equal
    return there.equal


# Answer, gold, the layer that says so; every policy of docs/grading.md has a line here.
EQUAL = [
    ("12.80", "12.8", "number"),
    (r"\frac{64}{5}", "12.8", "number"),
    (r"\dfrac12", "1/2", "number"),
    (r"1\frac{3}{4}", "7/4", "number"),
    ("1 2/3", r"\frac{5}{3}", "number"),
    ("1,000", "1000", "number"),
    (r"12\,345", "12345", "string"),
    ("12 345", "12345", "number"),
    ("4.5e33", r"4.5 \times 10^{33}", "string"),
    ("10^6", "1,000,000", "number"),
    (r"0.\overline{3}", "1/3", "number"),
    ("0.333333", "1/3", "number"),
    ("-.5", "-0.50", "number"),
    ("$3$.", "3", "string"),
    ("28\\%", "28", "number"),
    (r"12.5 \text{ dollars}", r"\$12.50", "number"),
    (r"90^\circ", "90", "number"),
    (r"175\ \mathrm{cm}^2", "175", "number"),
    (r"10 \text{ centimeters}", "10 cm", "number"),
    ("204_5", "204", "number"),
    ("3 : 4", "3/4", "number"),
    (r"\text{(C)}", "C", "structure"),
    (r"\textbf{(C) }5", "C", "structure"),
    ("yes", r"\text{Yes}", "structure"),
    ("5, -2", r"-2 \text{ and } 5", "structure"),
    (r"\{1, 2\}", "2,1", "structure"),
    ("1, 234", "1,234", "structure"),
    (r"\langle 1,2 \rangle", "(1,2)", "structure"),
    ("x = 5, y = 8", "(5, 8)", "structure"),
    ("(x, y) = (5, 8)", "(5,8)", "structure"),
    ("n = 7", "7", "structure"),
    (r"x \approx 11", "11", "structure"),
    ("172 + 3 = 175", "175", "symbolic"),
    ("x < 3", r"(-\infty, 3)", "structure"),
    ("-793 < a < 10", "(-793, 10)", "structure"),
    (r"5 \ge x", r"x \le 5", "string structure"),
    (r"1 \pm 2", "3, -1", "symbolic"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", "string"),
    (r"4:30 \text{ p.m.}", r"\text{4:30 p.m.}", "structure"),
    ("x+1", "1+x", "symbolic"),
    (r"\sqrt{8}", r"2\sqrt2", "symbolic"),
    ("sqrt(8)", r"2\sqrt{2}", "symbolic"),
    (r"\sec^2(y)", r"\tan^2(y)+1", "symbolic"),
    ("4x+6=2y", "y=2x+3", "symbolic"),
    ("3.141593", r"\pi", "symbolic"),
    (r"e^{i\pi}", "-1", "symbolic"),
    (r"\log_2 8", "3", "symbolic"),
    (r"(2\sqrt2, \frac12)", r"(\sqrt8, 0.5)", "symbolic"),
]
DIFFERENT = [
    ("12.7", "12.8"), ("12.8000001", "12.8"), ("1280", "12.8"), ("0.128", "12.8"), (r"8\sqrt[3]{4}", "12.8"),
    ("1.3333", r"\frac43"), ("0.33333", "1/3"), ("3.14159", r"\pi"), (r"2 \times 10^{-25}", r"1.6 \times 10^{-19}"),
    ("0", r"1.6 \times 10^{-19}"), ("10 cm", "10 m"), ("0.38", r"0.38\%"), ("10110_3", "10110_2"), ("3:4", "4:3"),
    ("4:30", "2/15"), ("(1,2)", "(2,1)"), ("(1,2)", "[1,2]"), ("(1,2)", r"\{1,2\}"), ("5, 6", "5"), ("3,3", "3"),
    (r"5 \text{ or } 6", "5"), (r"5 \text{ or 6}", "5"), (r"5 \text{ but 6}", "5"), ("5 = 6", "6"), ("6 = 5", "6"),
    ("0 = 1", "1"), (r"5 \pm 1", "6"), ("2x + z = 1", "1"), ("x = 5", "y = 5"), ("x=5, y=8", "8,5"), ("x", "5"),
    (r"x \le 3", "x < 3"), ("[0,9)", "(0,9)"), (r"\text{east}", r"\text{seat}"), (r"\text{not even}", r"\text{even}"),
    (r"\text{E}", "d"), ("6-5i", "6-5j"), (r"\frac{1}{2004!}", r"\frac{1}{2006!}"), (r"\frac10", r"\frac20"),
    (r"\sqrt{x^2}", "x"), ("X", "x"), ("2 3", "5"), (r"1\;2", "12"), (r"\rightarrow", "arrow"), ("1000,99", "1000.99"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"), ("９", "9"), ("5\u200b", "5"),
    ("0", r"(-\infty, 0) \cup\{1\}$."), ("2", r"\hbar \omega(v+1 / 2)-\frac{E_{0}^{2} e^{2}}{2 m \omega^{2}}"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "gold", "layers"), EQUAL)
def test_equal_answers_and_the_layer_that_says_so(answer, gold, layers):
    assert equal(answer, gold)
    without = decide(answer, gold)
    assert ("symbolic" if without is None else without.layer) in layers.split()


@pytest.mark.parametrize(("answer", "gold"), DIFFERENT)
def test_different_answers(answer, gold):
    assert not equal(answer, gold)


@pytest.mark.parametrize(("pairs", "same"), [(answer_pairs.SAME, True), (answer_pairs.DIFFERENT, False)])
def test_pairs_as_models_write_them(pairs, same):
    found = {line: equal(*line.split(" || ")) for line in pairs.strip().splitlines()}
    assert len(found) > 75
    assert [line for line, verdict in found.items() if verdict is not same] == []


@given(st.fractions())
def test_exact_numbers_survive_their_spellings(value: Fraction):
    spelt = f"{value.numerator}/{value.denominator}"
    latex = rf"{'-' if value < 0 else ''}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    for text in (spelt, latex):
        number = read_number(text)
        assert number is not None and number.value == value


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=3), st.decimals(allow_nan=False, places=3, max_value=9)
)
def test_two_decimals_are_equal_only_if_they_are(a, b):
    assert equal(f"{a:f}", f"{b:f}") == (a == b)


LATEX = st.lists(
    st.sampled_from(
        [
            *"0123456789xyzne+-*/=^_(){}[]|,.;:!<> $%",
            *(
                [
                    r"\frac{1}{2}",
                    r"\dfrac",
                    r"\sqrt",
                    r"\pi",
                    r"\text{or}",
                    r"\text{cm}",
                    r"\left(",
                    r"\right)",
                    r"\{",
                    r"\}",
                    r"\pm",
                    r"\infty",
                    r"\le",
                    r"\in",
                    r"\cup",
                    r"\\",
                    r"&",
                    r"10^{",
                ]
            ),
        ]
    ),
    max_size=14,
).map("".join)


@given(st.one_of(LATEX, st.text(max_size=60)))
@example("\\")
@example("x\x01, 234")
def test_any_text_equals_itself_and_nothing_raises(text):
    verdict = decide(text, text)
    assert verdict is not None
    assert verdict.equal == bool(text.strip()) or not canonical(text)


@given(st.one_of(LATEX, st.text(max_size=40)))
def test_canonical_is_a_fixed_point(text):
    once = canonical(text)
    assert canonical(once) == once


@given(LATEX, LATEX)
def test_equality_is_symmetric(a, b):
    there, back = decide(a, b), decide(b, a)
    assert (there is None) == (back is None)
    assert there is None or back is None or there == back


def atoms() -> Any:
    numbers = st.integers(0, 99).map(str)
    return st.one_of(numbers, st.sampled_from(["x", "y", "n", r"\pi", r"\frac{1}{2}", r"\sqrt{3}", "2x", "0.5", "12"]))


EXPRESSIONS = st.recursive(
    atoms(),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "="]), inner).map("".join),
        inner.map(lambda e: f"({e})"),
        st.tuples(inner, inner).map(lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]},{p[1]})"),
    ),
    max_leaves=4,
)


@given(EXPRESSIONS, EXPRESSIONS)
def test_typography_never_changes_a_verdict(a, b):
    spaced = re.sub(r"([-+*/=(),])", r" \1 ", a)
    sized = re.sub(r"(?<!\\)\)", r"\\right)", re.sub(r"(?<!\\)\(", r"\\left(", a))
    for other in (spaced, sized, a.replace(r"\frac", r"\dfrac"), f"${a}$"):
        assert canonical(other) == canonical(a)
        assert decide(other, b) == decide(a, b)


@given(EXPRESSIONS)
def test_expressions_equal_themselves_by_string(a):
    assume(canonical(a))
    verdict = decide(a, f" {a} ")
    assert verdict is not None and verdict.equal and verdict.layer == "string"
