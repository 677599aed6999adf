"""Protocols as they were published, and the benchmarks that they ask."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import PROTOCOLS, get_protocol
from oneshot_rlvr.evaluation.target import named_suites
from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.problems import find_problems
from oneshot_rlvr.problems.answers import last_boxed
from oneshot_rlvr.problems.benchmarks import BENCHMARKS


def test_protocols_are_what_was_published():
    paper = get_protocol("paper")
    assert paper.suites == ("math500", "aime24", "amc23", "minerva_math", "olympiadbench", "aime25")
    assert (paper.max_new_tokens, paper.template, paper.mode) == (3072, "qwen25-math-cot", "qwen-eval")
    for suite in paper.suites:
        often = suite in ("aime24", "aime25", "amc23")
        sampling = paper.sampling_of(suite)
        assert (sampling.samples, sampling.temperature) == ((8, 0.6) if often else (1, 0.0))
    for name, tokens in (("r1-8k", 8192), ("r1-32k", 32768)):
        asked = get_protocol(name)
        assert [asked.sampling_of(s).samples for s in ("math500", "aime25")] == [16, 64]
        assert {(asked.sampling_of(s).top_p, asked.sampling_of(s).max_new_tokens) for s in asked.suites} == {
            (0.95, tokens)
        }
    assert get_protocol("openseek").suites[1] == "gsm8k"
    assert set(PROTOCOLS) == {"honest", "paper", "released-validation", "r1-8k", "r1-32k", "openseek"}
    with pytest.raises(OneshotError, match="Did you mean 'paper'"):
        get_protocol("papr")


def test_the_papers_benchmarks_load_with_their_sizes_and_golds(shared_data, monkeypatch):
    monkeypatch.setenv("ONESHOT_DATA", str(shared_data))
    paper = get_protocol("paper")
    suites = named_suites(["paper"], None)
    assert {name: len(problems) for name, problems in suites.items()} == {
        name: BENCHMARKS[name].rows for name in paper.suites
    }
    assert all(problem.answer == last_boxed(problem.solution or "") for problem in suites["math500"])
    assert {problem.category for problem in suites["math500"]} >= {"Algebra", "Precalculus"}
    assert {problem.level for problem in suites["math500"]} == set("12345")


def test_a_benchmark_without_data_or_datasets_says_what_to_do(monkeypatch):
    monkeypatch.delenv("ONESHOT_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(OneshotError, match=r"oneshot-rlvr\[hub\]"):
        find_problems("math500")


def test_a_benchmark_of_the_hub_is_read_like_a_file(monkeypatch):
    asked = []

    def load_dataset(repository, configuration, split):
        asked.append((repository, configuration, split))
        choices = {"text": ["iron", "wood", "glass"], "label": ["1", "2", "3"]}
        return [{"id": "q1", "question": "Which rusts?", "choices": choices, "answerKey": 1}]

    monkeypatch.delenv("ONESHOT_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    [problem] = find_problems("arc_easy")
    assert asked == [("allenai/ai2_arc", "ARC-Easy", "test")]
    assert problem.question.splitlines()[:3] == ["Which rusts?", "A. iron", "B. wood"]
    assert (problem.answer, problem.extra["choices_text"]) == ("A", ["iron", "wood", "glass"])
    with Grader() as grader:
        outcomes = [
            g.outcome
            for g in grader.grade(problem, [Response(rf"\boxed{{{x}}}", "stop", 3) for x in ("A", "(A)", "B")])
        ]
    assert outcomes == ["correct", "correct", "wrong"]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Q", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "B"},
        {"question": "Q", "choices": {"text": None, "label": None}, "answerKey": "A"},
        {"question": "", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "A"},
        {"question": "Q", "choices": {"text": list("abcdefghijk"), "label": list("ABCDEFGHIJK")}, "answerKey": "K"},
        {"question": "Q", "choices": "a, b", "answerKey": "A"},
    ],
)
def test_a_bad_multiple_choice_row_is_refused(row, tmp_path):
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    with pytest.raises(OneshotError, match="row 1: not a multiple-choice row"):
        find_problems(str(tmp_path / "q.jsonl"))
