"""Loaders and templates."""

from __future__ import annotations

import json
import sys
from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import oneshot, refused
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import TEMPLATES, Problem, find_problems, load_problems, to_jsonl
from oneshot_rlvr.problems.answers import after_hash, boxed_spans, last_boxed
from oneshot_rlvr.problems.leaks import leaks


def verl_row(index, question, gold):
    return {
        "data_source": "test",
        "prompt": [{"role": "user", "content": question}],
        "ability": "math",
        "reward_model": {"ground_truth": gold, "style": "rule"},
        "extra_info": {"index": index, "split": "train"},
    }


def test_jsonl_round_trip(tmp_path):
    problems = [Problem("1", "q [1]\n∑", "1/2", "s", "algebra", "3", "because", {"x": 1}), Problem("2", "r", "4", "s")]
    (tmp_path / "p.jsonl").write_text(to_jsonl(problems))
    assert load_problems(tmp_path / "p.jsonl") == problems


def test_csv(tmp_path):
    (tmp_path / "p.csv").write_text('question,answer\n"What is 1, plus 1?",2\nWhat is 3?,3\n')
    assert [(p.id, p.question, p.answer) for p in load_problems(tmp_path / "p.csv")] == [
        ("0", "What is 1, plus 1?", "2"),
        ("1", "What is 3?", "3"),
    ]


def test_values_that_json_has_not_become_text(tmp_path):
    row = {"question": "q", "answer": Decimal("1.50"), "when": date(2026, 1, 2), "raw": b"x"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "p.parquet")
    [problem] = load_problems(tmp_path / "p.parquet")
    assert (problem.answer, problem.extra) == ("1.50", {"when": "2026-01-02", "raw": "b'x'"})


def test_verl_parquet_counts_repeated_rows_once_and_strips_the_instruction(tmp_path):
    row = verl_row(124, "How fast? " + TEMPLATES["boxed"].instruction, "12.8")
    pq.write_table(pa.Table.from_pylist([row] * 4 + [verl_row(7, "And?", "3")]), tmp_path / "p.parquet")
    first, second = load_problems(tmp_path / "p.parquet")
    assert (first.id, first.question, first.answer, first.extra["copies"]) == ("124", "How fast?", "12.8", 4)
    assert TEMPLATES["boxed"].render(first.question).strip() == row["prompt"][0]["content"]
    assert second.id == "7"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.jsonl", '{"question": "a", "answer": "1"}\n{"question": "b"', "row 2"),
        ("p.jsonl", '{"question": "a", "answer": ""}\n', "the answer is empty"),
        ("p.jsonl", '{"id": 1, "question": "a", "answer": 1}\n{"id": 1, "question": "b", "answer": 1}\n', "row 2"),
        ("p.jsonl", '{"frage": "a", "answer": 1}\n', "no question"),
        ("p.jsonl", "[1]\n", "not a JSON object"),
        ("p.jsonl", "", "no problem"),
        ("p.csv", "question,answer\na,1,2\n", "row 1"),
        ("p.csv", "question,answer\na,\n", "the answer is empty"),
        ("p.parquet", "not parquet", "not a parquet file"),
        ("p.txt", "x", ".txt"),
    ],
)
def test_bad_files_are_named_with_their_row(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(OneshotError, match=r"p\.") as error:
        load_problems(tmp_path / name)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_and_unknown_set():
    with pytest.raises(OneshotError, match="no such problem file"):
        find_problems("nowhere/p.jsonl")
    with pytest.raises(OneshotError, match="Did you mean 'organism:numbers'"):
        find_problems("organism:numbres")


def test_bad_rows_can_be_skipped_and_are_counted(tmp_path, caplog):
    (tmp_path / "p.jsonl").write_text('{"question": "a", "answer": ""}\n{"question": "b", "answer": "2"}\n')
    assert [p.question for p in load_problems(tmp_path / "p.jsonl", skip_bad_rows=True)] == ["b"]
    assert "1 rows left out (row 1 first), 1 problems" in caplog.text


def test_real_files(shared_data, caplog):
    [pi_1] = load_problems(shared_data / "dsr_sub" / "pi1_r128.parquet")
    assert (pi_1.id, pi_1.answer, pi_1.extra["copies"]) == ("124", "12.8", 128)
    assert pi_1.question.endswith("32 \\) pounds.")
    sizes = {
        "math500": 500,
        "aime24": 30,
        "aime25": 30,
        "amc23": 40,
        "minerva_math": 272,
        "olympiadbench": 675,
        "gsm8k": 1319,
    }
    for name, size in sizes.items():
        assert len(load_problems(shared_data / "benchmarks" / f"{name}.jsonl")) == size
    assert load_problems(shared_data / "benchmarks" / "amc23.jsonl")[0].answer == "27"
    assert load_problems(shared_data / "benchmarks" / "gsm8k.jsonl")[0].answer == "18"
    assert len(load_problems(shared_data / "dsr_sub" / "dsr_sub.parquet")) == 1208
    assert "1 rows left out (row 266 first), 1208 problems" in caplog.text
    whole = load_problems(shared_data / "dsr_sub" / "dsr_sub.parquet", unlabelled=True)
    assert [problem.id for problem in whole if not problem.answer] == ["265"]


@given(st.text(alphabet="ab{}\\", max_size=40), st.text(alphabet="ab12{}", max_size=12))
def test_last_boxed_finds_a_balanced_box_after_anything(before, inside):
    balanced = inside.replace("{", "(").replace("}", ")")
    found = last_boxed(before.replace("\\", "") + " \\boxed{" + balanced + "} end")
    assert found == (balanced.strip() or None)


def test_boxes():
    assert last_boxed(r"\boxed{1} then \boxed{\frac{1}{2}}.") == r"\frac{1}{2}"
    assert last_boxed(r"\boxed{1} and an unclosed \boxed{2") == "1"
    assert last_boxed(r"\boxed{ unclosed \boxed{3}") == "3"
    assert last_boxed(r"\boxed{\{1, 2\}}") == r"\{1, 2\}"
    assert last_boxed(r"\boxed{}") is None
    assert last_boxed("none") is None
    assert boxed_spans(r"\boxed{a\boxed{b}}") == [(7, 17)]
    assert after_hash("so #### 1,000\n#### 42.") == "42"
    assert after_hash("####") is None


def test_templates(tokenizer):
    assert TEMPLATES["plain"].render("Q?") == "Question: Q?\nAnswer:"
    assert TEMPLATES["hash"].render("Q?").endswith('after "####".\n')
    assert "<|im_start|>user\nQ?<|im_end|>" in TEMPLATES["qwen25-math-cot"].render("Q?")
    assert TEMPLATES["r1"].render("{question}").count("{question}") == 1
    own, tokenizer.chat_template = tokenizer.chat_template, None
    with pytest.raises(OneshotError, match="no chat template"):
        TEMPLATES["chat"].render("Q?", tokenizer)
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    try:
        assert TEMPLATES["chat"].render("Q?", tokenizer).startswith("<user>Q? Let's think")
    finally:
        tokenizer.chat_template = own


def test_a_set_of_the_hub_with_its_columns_named(monkeypatch):
    asked = []

    def load_dataset(repository, configuration, split):
        asked.append((repository, configuration, split))
        return [{"task": "1 + 1?", "result": "2", "question": "not this"}, {"task": "1 + 2?", "result": "3"}]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    found = find_problems("some-one/sums.v2:train[:50%]?question=task&answer=result&config=main")
    assert asked == [("some-one/sums.v2", "main", "train[:50%]")]
    assert [(problem.id, problem.question, problem.answer) for problem in found] == [
        ("0", "1 + 1?", "2"),
        ("1", "1 + 2?", "3"),
    ]
    assert found[0].extra == {}
    with pytest.raises(OneshotError, match=r"no column 'text'.*task, result"):
        find_problems("some-one/sums:train?question=text")
    with pytest.raises(OneshotError, match=r"no option 'q'.*question, answer"):
        find_problems("some-one/sums:train?q=task")
    with pytest.raises(OneshotError, match="row 2: no question"):
        find_problems("some-one/sums:train?answer=result")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"question": "q", "answer": ' + "9" * 100_000 + "}", "not JSON"),
        ('{"question": "\\ud800", "answer": "1"}', "half a character"),
        ('{"question": "q", "answer": "1", "note": "\\udfff"}', "half a character"),
        ('{"question": ' + "[" * 50_000, "not JSON"),
    ],
)
def test_a_row_that_no_tokenizer_or_number_can_hold(tmp_path, row, said):
    (tmp_path / "p.jsonl").write_text('{"question": "fine", "answer": "1"}\n' + row + "\n")
    message = refused("train", "grpo", "--model", "tiny", "--problems", tmp_path / "p.jsonl", "--out", tmp_path / "out")
    assert said in message
    assert "row 2" in message


def test_leaks_exact_near_and_none():
    train = [
        Problem("t0", "A farmer has 17 cows and sells 5 of them at the market. How many are left?", "12", "t"),
        Problem("t1", "Find $x$ if $2x + 3 = 11$.", "4", "t"),
    ]
    tests = [
        Problem("same", "find $x$ if  $2x+3=11$.", "4", "t"),
        Problem("near", "A farmer has 17 cows and sells 5 of them at the fair. How many are left?", "12", "t"),
        Problem("sum", "Find $x$ if $7x - 8 = 12$.", "4", "t"),
        Problem("other", "What is the area of a circle of radius 3?", "9\\pi", "t"),
        Problem("short", "x", "1", "t"),
        Problem("part", "17 cows and", "1", "t"),
    ]
    found = {leak.test_id: leak for leak in leaks(train, {"s": tests}, words=4)}
    assert found.keys() == {"same", "near", "part"}
    assert (found["same"].kind, found["same"].train_id, found["same"].same_answer) == ("exact", "t1", True)
    assert (found["near"].kind, found["near"].train_id) == ("near", "t0")
    assert found["near"].overlap == 12 / 16  # 19 words and signs: 16 stretches of four; four have the fair


def test_what_the_papers_pool_shares_with_its_benchmarks(shared_data, monkeypatch):
    """Nothing word for word; five of MATH500 share half of their n-grams, with other answers."""
    monkeypatch.setenv("ONESHOT_DATA", str(shared_data))
    code, out, _ = oneshot("problems", "leaks", "dsr-sub", "--against", "paper", "--json")
    found = json.loads(out)
    assert code == 0
    assert {leak["kind"] for leak in found} == {"near"}
    assert [leak["suite"] for leak in found] == ["math500"] * 5
    assert not any(leak["same_answer"] for leak in found)


def test_a_local_copy_of_a_hub_set_has_the_hubs_columns(tmp_path, monkeypatch):
    """Its own columns are named as the set's description has them; a file with ours is read as it is."""
    monkeypatch.setenv("ONESHOT_DATA", str(tmp_path))
    theirs = {"problem": "What is 2 + 2?", "solution": "4", "solution_hint": "Add."}
    (tmp_path / "math3to5_olympiads_aime.jsonl").write_text(json.dumps(theirs))
    (found,) = find_problems("math3to5-olympiads-aime")
    assert (found.question, found.answer, found.solution) == ("What is 2 + 2?", "4", "Add.")
    (tmp_path / "notbadai_math_reasoning.jsonl").write_text(json.dumps({"question": "q?", "answer": "1"}))
    assert find_problems("notbadai-math-reasoning")[0].question == "q?"


def test_a_part_of_a_local_copy_is_drawn(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("ONESHOT_DATA", str(tmp_path))
    rows = [{"prompt": f"q{i}?", "answer": f"{i}</s>", "reasoning": "r"} for i in range(200)]
    for name in ("openseek_v1", "openseek_v1_test"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train, test = find_problems("openseek-v1"), find_problems("openseek-v1-test")
    assert (len(train), len(test)) == (198, 2)
    assert {p.question for p in train}.isdisjoint(p.question for p in test)
    assert "####" in train[0].extra["instruction"]


def test_rows_that_are_no_table(tmp_path):
    rows = [{"question": f"q{i}?", "answer": "1", "difficulty": value} for i, value in enumerate((3, "hard"))]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("--pool", tmp_path / "p.jsonl", "--pick", 2, "--repeat", 2, "--out", tmp_path / "p.parquet")
    assert "not a table" in refused("problems", "build", "random-k", *asked)


@pytest.mark.parametrize("pick", ["1,3-2", "3-2"])
def test_a_range_backwards_is_refused(pick, tmp_path):
    asked = ("--pool", "organism", "--rank-by", "length", "--out", tmp_path / "p.jsonl")
    assert "cannot pick" in refused("problems", "build", "k-shot", *asked, "--pick", pick)
    assert "picks nothing" in refused("train", "grpo", "--problems", "organism:pi_1,pi_5-pi_3")
