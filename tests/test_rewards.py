"""Reward functions on hand-computed groups, weighted sums, and a user's own."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import REWARDS, Grader, Outcome, Response, get_reward
from oneshot_rlvr.problems import TEMPLATES, Problem

PROBLEM = Problem("p", "q", "12.8", "test", solution=r"k = 1/2, so 4 \cdot 2 = 8, and 8 + 4.8 = 12.8")


def response(outcome: Outcome = "wrong", tokens: int = 1, text: str = "", extracted: str | None = None) -> Response:
    return Response(text, "stop", tokens, outcome, extracted)


def rewards(spec: str, *responses: Response, problem: Problem = PROBLEM, **defaults: object) -> list[float | None]:
    return get_reward(spec, **defaults)(problem, responses)


def test_accuracy_and_format():
    assert rewards("accuracy", response("correct"), response("timeout"), response("unscorable")) == [1, 0, None]
    texts = [r"\boxed{9}", r"\boxed{}", "3", r"\boxed 9"]
    assert rewards("format", *(response(text=text) for text in texts)) == [1, 0, 0, 1]


def test_thinking_formats():
    texts = [
        "<think>a</think> b",
        "a</think>b",
        "<think>a</think>",
        "a",
        "<think>a</think>b</think>c",
        "x<think>a</think>b",
    ]
    assert rewards("format_think", *(response(text=text) for text in texts)) == [1, 1, 0, 0, 0, 0]
    texts = [
        "<think>a</think><answer>b</answer>",
        "a</think><answer>b</answer>",
        "a</think>b",
        "a",
        "<answer>b</answer>" * 2,
    ]
    assert rewards("tag_count", *(response(text=text) for text in texts)) == [1, 1, 0.5, 0, 0]


def test_random_is_a_function_of_its_inputs():
    group = [response(text=str(i // 2)) for i in range(2000)]
    first, again = rewards("random(p=0.3)", *group), rewards("random(p=0.3, seed=0)", *group)
    assert first == again != rewards("random(p=0.3)", *group, seed=1)
    assert abs(sum(value or 0 for value in first) / 2000 - 0.3) < 0.04
    assert first[::2] != first[1::2]  # twins are not rewarded alike


def test_random_favours_no_text_in_training():
    """By a rollout's own number: a text earns one time in two, at any place; by place and text it would be fixed."""
    earned = [
        rewards("random", *(replace(response(text=text), key=8 * group + place) for place, text in enumerate("ABCD")))
        for group in range(400)
    ]
    means = [sum(value or 0 for value in column) / 400 for column in zip(*earned, strict=True)]
    assert all(abs(mean - 0.5) < 0.1 for mean in means)


def test_what_cannot_be_scored_has_no_reward_for_its_length():
    group = [response("correct", 10), response("unscorable", 10), response("wrong", 90)]
    assert rewards("cosine_length", *group)[1] is None
    assert rewards("length_kimi", *group)[1] is None


def test_wrong_labels():
    answers = [response(extracted=text) for text in ("12.7", "12.70", "12.8", "4", "929725", "12.9")] + [response()]
    assert rewards("wrong_label", *answers) == [1, 1, 0, 0, 0, 0, 0]
    assert rewards("wrong_label(kind='guessable')", *answers) == [0, 0, 0, 1, 0, 0, 0]
    assert rewards("wrong_label(kind='unguessable')", *answers) == [0, 0, 0, 0, 1, 0, 0]
    assert rewards("wrong_label(label='12.9')", *answers) == [0, 0, 0, 0, 0, 1, 0]
    seven = Problem("p", "q", "-7", "test")
    assert rewards("wrong_label", response(extracted="-8"), problem=seven) == [1]
    with pytest.raises(OneshotError, match="is right"):
        rewards("wrong_label(label='64/5')", response())
    sums = [response(extracted=text) for text in ("x+1", "x+0")]
    assert rewards("wrong_label", *sums, problem=Problem("p", "q", "x+1", "test")) == [0, 1]
    assert rewards("wrong_label", response(), problem=Problem("p", "q", "Zoe", "test")) == [None]
    four = Problem("p", "q", "4", "test")
    assert rewards("wrong_label(kind='guessable')", response(extracted="4"), response(extracted="5"), problem=four) == [
        0,
        1,
    ]
    with pytest.raises(OneshotError, match="near_miss"):
        rewards("wrong_label(kind='nearmiss')", response())


def test_majority_needs_no_gold():
    answers = ["1/2", "0.5", "3", r"\frac12", "3", None]
    assert rewards("majority", *(response(extracted=text) for text in answers)) == [1, 1, 0, 1, 0, 0]
    assert rewards("majority", response(extracted="2"), response(extracted="3")) == [1, 0]
    assert rewards("majority", response()) == [0]


def test_steps_credit_is_the_run_through_the_references_results():
    # The reference's results: 1/2, 8, 12.8.
    texts = [r"a = 0.5, b = 8", "b = 8, a = 1/2", "= 1 = 2 = 8", "nothing", "= 1/2 = 8 = 12.8"]
    group = [response(text=text) for text in texts]
    assert rewards("steps_credit", *group) == pytest.approx([1 / 3, 1 / 6, 1 / 6, 0, 1 / 2])
    assert rewards("steps_credit", response("correct")) == [1]
    assert rewards("steps_credit(most=0.9)", group[1]) == pytest.approx([0.3])
    assert rewards("steps_credit", *group, problem=Problem("p", "q", "1", "test")) == [None] * 5


def test_length_rewards():
    group = [response("correct", 10), response("correct", 20), response("wrong", 10), response("wrong", 30)]
    assert rewards("length_kimi", *group) == [0.5, 0.0, 0.0, -0.5]
    assert rewards("length_kimi", *group[:1]) == [0]
    assert rewards("cosine_length", response("correct", 0), response("wrong", 0), max_tokens=100) == [1.0, -1.0]
    assert rewards("cosine_length(max_tokens=8)", response("correct", 8), response("wrong", 99)) == [0.5, -0.5]
    half = rewards("cosine_length(max_tokens=8)", response("correct", 4), response("correct", 2))
    assert half == pytest.approx([0.75, 0.5 + 0.25 * (1 + math.cos(math.pi / 4))])
    lengths = [response(tokens=n) for n in (80, 90, 100, 500)]
    assert rewards("overlong", *lengths, max_tokens=100) == [0, -0.5, -1, -1]
    assert rewards("overlong(cache=10)", *lengths, max_tokens=100) == [0, 0, -1, -1]


def test_repetition():
    texts = ["a b c d", "a b", "A a a a a", "a b c a b c"]
    assert rewards("repetition", *(response(text=text) for text in texts)) == pytest.approx([0, 0, -2 / 3, -1 / 4])
    assert rewards("repetition(n=2, most=2)", response(text=texts[3])) == pytest.approx([-2 * 2 / 5])


def test_weighted_sums():
    group = [response("correct", 100), response("wrong", 50), response("unscorable", 50)]
    assert rewards("accuracy + 0.5*overlong(max_tokens=100, cache=50)", *group) == [0.5, 0, None]
    assert rewards("2*accuracy-format", *group) == [2, 0, None]
    assert rewards("-1*accuracy", *group) == [-1, 0, None]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("acuracy", "Did you mean 'accuracy'"),
        ("accuracy +", "cannot read"),
        ("accuracy overlong", "cannot read"),
        ("", "cannot read"),
        ("overlong(cash=3)", "no option 'cash'.*max_tokens, cache"),
        ("overlong(3)", "cannot read the options"),
        ("overlong(cache=open)", "cannot read the options"),
        ("accuracy(p=1)", "It has: none"),
        ("no_such_module:f", "cannot import"),
        (":f", "cannot read"),
    ],
)
def test_mistakes_in_a_reward_are_named(spec, says):
    with pytest.raises(OneshotError, match=says):
        get_reward(spec)


def test_every_reward_answers_for_every_response():
    group = [response("correct", 3, r"a=8 \boxed{12.8}", "12.8"), response("no_answer", 9, "none")]
    for name in set(REWARDS) - {"selector"}:  # which needs a selector's folder: test_paths.py
        values = rewards(name, *group)
        assert len(values) == 2, name
        assert all(value is None or math.isfinite(value) for value in values), name


MINE = """
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
    (tmp_path / "mine_rewards.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    responses = [Response("a", "stop", 1), Response("b", "stop", 2)]
    assert rewards("mine_rewards:lengths", *responses) == [1.0, 2.0]
    assert rewards("mine_rewards:none", *responses) == [None, None]
    assert rewards("format + 0.5*mine_rewards:lengths", *responses) == [0.5, 1.0]
    for name, says in [
        ("fails", r"ZeroDivisionError.*mine_rewards\.py:5"),
        ("short", "0 rewards for 2"),
        ("words", "'good'"),
    ]:
        with pytest.raises(OneshotError, match=says):
            rewards(f"mine_rewards:{name}", *responses)
    with pytest.raises(OneshotError, match="has no function 'gone'"):
        get_reward("mine_rewards:gone")


def test_a_grader_gives_its_reward_what_it_found():
    grader = Grader(TEMPLATES["boxed"], get_reward("wrong_label + 0.5*format"))
    group = [Response(rf"\boxed{{{answer}}}", "stop", 1) for answer in ("12.7", "12.8")]
    assert [(grade.outcome, grade.reward) for grade in grader.grade(PROBLEM, group)] == [
        ("wrong", 1.5),
        ("correct", 0.5),
    ]
