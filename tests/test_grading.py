"""Extraction, equivalence, outcomes and rewards."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import Grader, Response, get_reward
from oneshot_rlvr.grading.equivalence import canonical, exact_number, quick_equal
from oneshot_rlvr.problems import TEMPLATES, Problem, load_problems

GRADER = Grader(TEMPLATES["boxed"])


def problem(gold: str) -> Problem:
    return Problem("p", "q", gold, "test")


def outcome(text: str, gold: str, finish: str = "stop", template: str = "boxed") -> str:
    grader = GRADER if template == "boxed" else Grader(TEMPLATES[template])
    return grader.outcome(text, finish, problem(gold))[0]


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("12.8", "12.80", True),
        ("12.8", "12.7", False),
        ("12.8", "64/5", True),
        ("12.8", r"\frac{64}{5}", True),
        ("1/2", r"\dfrac12", True),
        ("-1/2", r"-\frac{1}{2}", True),
        ("1000", "1,000", True),
        ("1000", "1{,}000", True),
        ("7/4", r"1\frac{3}{4}", True),
        ("24", "24.0", True),
        ("24", "25", False),
        ("3", "$3$.", True),
        ("0.1", "1/0", None),
        ("x+1", "1+x", None),
        ("5", "9^{9^{9^9}}", False),
    ],
)
def test_fast_paths(gold, answer, equal):
    assert quick_equal(answer, gold) is equal


@given(st.fractions())
def test_exact_numbers_survive_their_spellings(value):
    spelt = f"{value.numerator}/{value.denominator}"
    latex = rf"{'-' if value < 0 else ''}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    assert exact_number(spelt) == exact_number(latex) == value


@given(st.text(max_size=60))
def test_any_text_is_canonical_and_equals_itself(text):
    assert quick_equal(text, text) is True


def test_symbolic_answers_through_the_worker():
    assert outcome(r"\boxed{1+x}", "x+1") == "correct"
    assert outcome(r"\boxed{\sqrt{8}}", r"2\sqrt{2}") == "correct"
    assert outcome(r"\boxed{\sqrt{7}}", r"2\sqrt{2}") == "wrong"


def test_outcomes_are_distinct():
    assert outcome(r"so \boxed{3}", "3") == "correct"
    assert outcome(r"so \boxed{4}", "3") == "wrong"
    assert outcome("so 3", "3") == "no_answer"
    assert outcome("so 3", "3", finish="length") == "truncated"
    assert outcome(r"\boxed{3} and so on", "3", finish="length") == "correct"
    assert outcome(r"\boxed{3}", "$ $") == "unscorable"


def test_templates_say_where_the_answer_is():
    assert outcome("x #### 3", "3", template="hash") == "correct"
    assert outcome(r"\boxed{3}", "3", template="hash") == "no_answer"
    assert outcome(r"\boxed{2}</think> \boxed{3}", "3", template="r1") == "correct"
    assert outcome(r"\boxed{3}", "3", template="r1") == "no_answer"


def test_a_worker_that_does_not_answer_in_time_is_killed_and_replaced():
    grader = Grader(TEMPLATES["boxed"], timeout=1e-9)
    assert grader.outcome(r"\boxed{1+x}", "stop", problem("x+1"))[0] == "timeout"
    assert grader._worker._process is None
    grader._worker.timeout = 10.0
    assert grader.outcome(r"\boxed{1+x}", "stop", problem("1+x+0"))[0] == "correct"
    first = grader._worker._process
    assert first is not None
    first.kill()
    first.wait()
    assert grader.outcome(r"\boxed{2+x}", "stop", problem("1+x"))[0] == "wrong"  # it died of what it read
    assert grader.outcome(r"\boxed{2+x}", "stop", problem("x+2"))[0] == "correct"
    grader._worker.close()


def test_what_looks_alike_is_not_equal():
    for gold, answer in [("12", r"1\;2"), ("34", r"3\ 4"), ("arrow", r"\rightarrow")]:
        assert outcome(rf"\boxed{{{answer}}}", gold) != "correct"
    polynomial = "x^5 - x^4 + x^3 - x^2 + x - 1"
    assert outcome(r"\boxed{x^{5}-x^{4}+x^{3}-x^{2}+x-1}", polynomial) == "correct"


def test_nothing_is_executed(tmp_path):
    canary = tmp_path / "canary"
    for code in (f"__import__('os').system('touch {canary}')", f"open('{canary}','w')"):
        assert outcome(rf"\boxed{{{code}}}", "1") != "correct"
    assert not canary.exists()


def test_identical_text_is_graded_once(monkeypatch):
    calls = []
    grader = Grader(TEMPLATES["boxed"])
    real = grader.outcome
    monkeypatch.setattr(grader, "outcome", lambda *args: calls.append(args) or real(*args))
    responses = [Response(r"\boxed{3}", "stop", 5)] * 6 + [Response("none", "stop", 1)]
    grades = grader.grade(problem("3"), responses)
    assert [grade.reward for grade in grades] == [1.0] * 6 + [0.0]
    assert len(calls) == 2


def test_format_reward_and_unknown_rewards():
    grader = Grader(TEMPLATES["boxed"], get_reward("format"))
    texts = [r"\boxed{9}", r"\boxed{}", "3"]
    assert [g.reward for g in grader.grade(problem("3"), [Response(t, "stop", 1) for t in texts])] == [1.0, 0.0, 0.0]
    with pytest.raises(OneshotError, match="Did you mean 'accuracy'"):
        get_reward("acuracy")
    for name in ("no_such_module:f", ":f"):
        with pytest.raises(OneshotError, match="cannot import"):
            get_reward(name)


REWARDS = """
def lengths(problem, responses):
    return [float(r.tokens) for r in responses]
def fails(problem, responses):
    return 1 / 0
def short(problem, responses):
    return []
def words(problem, responses):
    return ["good" for r in responses]
def none(problem, responses):
    return [None for r in responses]
"""


def test_a_users_reward_and_its_mistakes(tmp_path, monkeypatch):
    (tmp_path / "mine_rewards.py").write_text(REWARDS)
    monkeypatch.chdir(tmp_path)
    responses = [Response("a", "stop", 1), Response("b", "stop", 2)]
    assert get_reward("mine_rewards:lengths")(problem("3"), responses) == [1.0, 2.0]
    assert get_reward("mine_rewards:none")(problem("3"), responses) == [None, None]
    for name, says in [
        ("fails", r"ZeroDivisionError.*mine_rewards\.py:5"),
        ("short", "0 rewards for 2"),
        ("words", "'good'"),
    ]:
        with pytest.raises(OneshotError, match=says):
            get_reward(f"mine_rewards:{name}")(problem("3"), responses)
    with pytest.raises(OneshotError, match="has no function 'gone'"):
        get_reward("mine_rewards:gone")


def test_every_gold_of_the_benchmarks_equals_itself_and_not_the_next(shared_data):
    names = [path.name for path in (shared_data / "benchmarks").glob("*.jsonl")]
    assert len(names) == 7
    for name in names:
        problems = load_problems(shared_data / "benchmarks" / name)
        for ours, following in zip(problems, [*problems[1:], problems[0]], strict=True):
            assert quick_equal(ours.answer, ours.answer) is True
            if canonical(ours.answer) != canonical(following.answer):
                numbers = exact_number(canonical(ours.answer)), exact_number(canonical(following.answer))
                assert quick_equal(ours.answer, following.answer) is not True or numbers[0] == numbers[1]


def test_core_cases_of_peers_without_a_false_correct(shared_data):
    agree = total = 0
    for line in (shared_data / "grader_cases" / "open.jsonl").read_text().splitlines():
        case = json.loads(line)
        if not case["core"]:
            continue
        found = outcome(rf"\boxed{{{case['pred_ans'] or case['pred']}}}", case["gold_ans"] or case["gold"]) == "correct"
        assert case["expected"] or not found, case
        agree, total = agree + (found == case["expected"]), total + 1
    assert agree / total > 0.95
