"""Whether a model has read a test set before: cutting, comparing, and a real model that has."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import oneshot
from oneshot_rlvr.evaluation.recall import cut, recalled, rouge_l, share_exact
from oneshot_rlvr.problems import Problem


def test_cutting_by_hand():
    assert cut("one two three four five") == ("one two three", "four five")
    assert cut("one two") == ("one", "two")
    assert cut("one two", 0.95) == ("one", "two")
    assert cut("one  two\nthree", 0.1) == ("one", "two three")


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=2, max_size=30), st.floats(0.05, 0.95))
def test_cutting_loses_nothing(words, share):
    shown, hidden = cut(" ".join(words), share)
    assert f"{shown} {hidden}" == " ".join(words)


def test_rouge_by_hand():
    assert rouge_l(["a", "b", "c", "d"], ["a", "c", "d", "e"]) == pytest.approx(2 * 3 / 8)
    assert rouge_l(["a"], []) == 0.0
    assert rouge_l(["a", "b"], ["a", "b"]) == 1.0


def test_who_knows_it_by_heart():
    problems = [
        Problem("a", "how many is one and one more", "2", "s"),
        Problem("b", "what is this", "3", "s"),
        Problem("c", "x", "1", "s"),
    ]
    known = {"how many is one": "and one more and so on", "what": "was that then"}
    found = recalled(problems, lambda texts: [known[text] for text in texts], 0.6)
    assert [(one.id, one.exact) for one in found] == [("a", True), ("b", False)]
    assert found[0].written == "and one more"
    assert found[1].rouge == 0.0
    share, (low, high) = share_exact(found)
    assert share == 0.5
    assert low <= share <= high


def test_the_command_on_a_model():
    code, out, _ = oneshot("problems", "recall", "tiny", "--suite", "organism:hard", "--limit", 3, "--json")
    assert code == 0
    rows = json.loads(out)["organism:hard"]
    assert len(rows) == 3
    assert all(row["shown"] and row["hidden"] for row in rows)
    code, out, _ = oneshot("problems", "recall", "tiny", "--suite", "organism:hard", "--limit", 3)
    assert code == 0
    assert "ROUGE-L" in out
