"""Protocols as they were published, and the benchmarks that they ask."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import PROTOCOLS, Sampling, get_protocol
from oneshot_rlvr.evaluation.sampling import sample_problems
from oneshot_rlvr.evaluation.scoring import grade_rows, score_rows
from oneshot_rlvr.evaluation.target import named_suites
from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.policy import Policy, load_policy
from oneshot_rlvr.problems import Problem, encode_prompt, find_problems, get_template, load_problems
from oneshot_rlvr.problems.answers import last_boxed
from oneshot_rlvr.problems.benchmarks import BENCHMARKS
from oneshot_rlvr.problems.templates import BOXED_INSTRUCTION
from oneshot_rlvr.rollout import make_sampler
from oneshot_rlvr.training.prepare import make_grader
from oneshot_rlvr.training.source import Source


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


RELEASED = (
    "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{{}}.<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)


def test_prompts_of_the_paper_protocol_are_the_released_ones(shared_data, monkeypatch):
    """Byte for byte, on every question: the evaluation code strips a question and puts it into this text."""
    monkeypatch.setenv("ONESHOT_DATA", str(shared_data))
    paper, compared = get_protocol("paper"), 0
    template = get_template(paper.template or "")
    for suite in paper.suites:
        lines = (shared_data / "benchmarks" / f"{suite}.jsonl").read_text().splitlines()
        for problem, line in zip(find_problems(suite), lines, strict=True):
            row = json.loads(line)
            question = row.get("question") or row["problem"]
            assert template.render(problem.question) == RELEASED.format(question.strip()), problem.id
            compared += 1
    assert compared == 1547


def test_prompts_of_the_released_validation_and_training_files(shared_data):
    """The tokenizer's chat template, which verl applies, gives Qwen's system turn and the file's text."""
    template = get_template(get_protocol("released-validation").template or "")
    path = shared_data / "benchmarks" / "math500_verl.parquet"
    rows = pq.read_table(path).to_pylist()
    for problem, row in zip(find_problems(str(path)), rows, strict=True):
        assert template.render(problem.question) == RELEASED.format(row["prompt"][0]["content"])
    path = shared_data / "dsr_sub" / "dsr_sub.parquet"
    asked = {str(row["extra_info"]["index"]): row["prompt"][0]["content"] for row in pq.read_table(path).to_pylist()}
    problems = load_problems(path, skip_bad_rows=True)
    assert len(problems) == 1208
    for problem in problems:
        assert f"{problem.question} {BOXED_INSTRUCTION}" == asked[problem.id]


def test_the_openseek_protocol_says_that_its_grader_is_a_guess():
    assert "grader is not known" in get_protocol("openseek").says


@pytest.fixture
def talkative(tokenizer) -> Policy:
    """A model that says \\boxed{12}, ends its turn, goes on to another answer, and ends the text."""
    first = tokenizer(r" \boxed{12}.")["input_ids"]
    more = tokenizer(r" \boxed{99}.")["input_ids"]
    script = [*first, tokenizer.convert_tokens_to_ids("<|im_end|>"), *more, tokenizer.eos_token_id]
    vocabulary, torch_ids = len(tokenizer), torch.tensor(script)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocabulary,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            max_position_embeddings=512,
            bos_token_id=None,
        )
    )

    class Scripted(torch.nn.Module):
        """The next token of the script after what has been said of it."""

        def __init__(self, inner):
            super().__init__()
            self.inner, self.config = inner, inner.config

        def forward(self, input_ids, use_cache=False, **ignored):
            logits = torch.full((*input_ids.shape, vocabulary), -50.0)
            for row, ids in enumerate(input_ids.tolist()):
                said = next((n for n in range(len(script) - 1, 0, -1) if ids[-n:] == script[:n]), 0)
                logits[row, -1, torch_ids[said]] = 50.0
            return SimpleNamespace(logits=logits, past_key_values=None)

    return Policy(Scripted(model), tokenizer, (tokenizer.eos_token_id,), False, "it is scripted", None, None)


def test_evaluation_ends_with_the_turn_and_training_as_configured(talkative, tmp_path):
    """A base model that goes on after <|im_end|> used to be graded by its last box."""
    problem, template = Problem("p", "What is 3 + 4 + 5?", "12", "test"), get_template("qwen25-math-cot")
    config, _ = resolve("grpo", "tiny", ["model.template=qwen25-math-cot", "batch.groups_per_step=1"])
    sampler = make_sampler(talkative, config)
    [row] = sample_problems(sampler, talkative, [problem], template, Sampling(1, max_new_tokens=40))
    assert row["samples"] == row["greedy"]
    assert row["samples"][0] == {"text": r" \boxed{12}.", "finish": "stop", "tokens": row["samples"][0]["tokens"]}
    [other] = sample_problems(sampler, talkative, [problem], get_template("plain"), Sampling(1, max_new_tokens=40))
    assert r"\boxed{99}" in other["samples"][0]["text"]

    def trained(stop: bool):
        section = config.sampling.model_copy(update={"stop_at_turn_end": stop})
        own = config.model_copy(update={"sampling": section})
        source = Source(own, [problem], talkative, make_grader(own), sampler)
        [group] = source.groups(1, [problem])
        return group.rollouts[0].text, group.grades[0].outcome

    assert trained(True) == (r" \boxed{12}.", "correct")
    assert trained(False) == (r" \boxed{12}.<|im_end|> \boxed{99}.", "wrong")  # the marker stays: it can be regraded


def test_the_released_profile_trains_with_the_end_of_text_alone():
    assert not resolve("grpo", "qwen2.5-math-1.5b")[0].sampling.stop_at_turn_end
    assert resolve("grpo", "organism")[0].sampling.stop_at_turn_end


def test_the_turns_end_of_a_chat_template(tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert get_template("chat").stop_ids(tokenizer) == get_template("qwen25-math-cot").stop_ids(tokenizer) == (end,)
    assert get_template("plain").stop_ids(tokenizer) == ()


def test_a_prompt_that_leaves_less_room_is_sampled_up_to_the_models_length(tmp_path):
    config, _ = resolve("grpo", "tiny")
    policy = load_policy(config.model)
    short = Problem("short", "What is 3 + 4 + 5?", "12", "test")
    long = Problem("long", "x " * 480, "1", "test")
    sampler = make_sampler(policy, config)
    room = 512 - len(encode_prompt(get_template("plain"), long.question, policy.tokenizer))
    assert 0 < room < 40
    rows = sample_problems(sampler, policy, [long, short], get_template("plain"), Sampling(2, max_new_tokens=40))
    assert [row.get("room") for row in rows] == [room, None]
    assert all(len(row["samples"]) == 2 for row in rows)
    assert max(response["tokens"] for response in rows[0]["samples"]) <= room
    with Grader(get_template("plain")) as grader:
        score = score_rows(grade_rows(rows, [long, short], grader))
    assert (score.shortened, score.prompt_too_long) == (1, 0)
