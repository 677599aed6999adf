"""The one grammar by which a configuration names units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneshot_rlvr.config import Registry, parse
from oneshot_rlvr.errors import OneshotError

UNITS = Registry("unit", "a.key")


@UNITS.register("plus", needs=("old",))
def plus(value: float, amount: float = 1.0, *, times: int = 1) -> float:
    """value + amount x times.

    More.
    """
    return value + amount * times


@UNITS.register("asks", needs=lambda kl=0.0: {"reference"} if kl else set())
def asks(value: float, kl: float = 0.0) -> float:
    """The value | itself."""
    return value


def test_names_options_and_sums():
    [term] = parse(" plus ", "k")
    assert (term.weight, term.name, term.options) == (1, "plus", {})
    [a, b, c] = parse("plus(amount=(1, 'a)b'), x=[2]) + 0.5 * mine.sub:twice(z=None) - 2e-3*asks", "k")
    assert (a.name, a.options) == ("plus", {"amount": (1, "a)b"), "x": [2]})
    assert (b.weight, b.name, b.options) == (0.5, "mine.sub:twice", {"z": None})
    assert (c.weight, c.name) == (-0.002, "asks")


def test_units_bind_their_options_and_know_their_traits():
    assert UNITS.unit("plus")(1) == 2
    assert UNITS.unit("plus(times=3, amount=0.5)", {"amount": 9.0, "other": 1})(1) == 2.5
    assert UNITS.unit("plus", {"amount": 9.0})(1) == 10
    assert UNITS.unit("plus").trait("needs", ()) == ("old",)
    assert UNITS.unit("asks(kl=0.1)").trait("needs", ()) == {"reference"}
    assert UNITS.unit("asks").trait("needs", ()) == set()
    assert str(UNITS.unit("plus(times=3)")) == "plus(times=3)"
    assert [weight for weight, _ in UNITS.sum("plus - 0.5*asks")] == [1, -0.5]
    assert UNITS.sum("") == []
    assert UNITS.table()[0] == ("plus", "amount=1.0, times=1", "value + amount x times.")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("plsu", "Did you mean 'plus'"),
        ("plus(amout=1)", "no option 'amout'.*amount, times"),
        ("plus(times='a')", "times='a'"),
        ("plus(times=1.5)", "times=1.5"),
        ("plus + asks", "is a sum"),
        ("2*plus", "is a sum"),
        ("", "cannot read ''"),
        ("plus plus", "cannot read"),
        ("plus(", r"cannot read the options"),
        ("plus(1)", "cannot read the options"),
        ("plus(times=open('x'))", "cannot read the options"),
        ("plus(**{})", "cannot read the options"),
        ("plus(times=" + "(" * 500, "cannot read the options"),
        ("a" * 3000, "cannot read"),
        ("1e999*plus", "too large a weight"),
        ("no_such_module_here:f", "cannot import it"),
        ("math:nothing", "math has no function 'nothing'"),
    ],
)
def test_mistakes_are_named_on_one_line(text, says):
    with pytest.raises(OneshotError, match=says) as error:
        UNITS.unit(text)
    assert "a.key" in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(alphabet="plusak()+-*.,='\" 0123:e", max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        terms = parse(text, "k")
    except OneshotError:
        return
    assert terms
    assert all(term.name for term in terms)


@given(
    st.lists(
        st.tuples(
            st.floats(0.001, 1000),
            st.sampled_from(["plus", "asks", "m:f"]),
            st.dictionaries(
                st.sampled_from(["a", "b"]),
                st.one_of(st.integers(), st.text(max_size=5), st.booleans(), st.none(), st.tuples(st.integers())),
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_is_read(terms):
    parts = [f"{w!r}*{n}({', '.join(f'{k}={v!r}' for k, v in options.items())})" for w, n, options in terms]
    assert [(t.weight, t.name, t.options) for t in parse(" + ".join(parts), "k")] == terms
