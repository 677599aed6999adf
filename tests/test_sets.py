"""Named training sets: columns, splits and shuffles as their users' scripts have them; sets built with other golds."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from command import oneshot, refused
from oneshot_rlvr.problems import find_problems, load_problems
from oneshot_rlvr.problems.benchmarks import BENCHMARKS, ON_HUB, TRAINING
from oneshot_rlvr.problems.catalogue import provenance
from oneshot_rlvr.problems.templates import BOXED_INSTRUCTION, HASH_INSTRUCTION
from oneshot_rlvr.problems.verl import verl_row


@pytest.fixture
def hub(monkeypatch):
    """A hub that has these rows whatever is asked for; what was asked."""

    def serve(rows):
        asked = []

        def load_dataset(*args, split):
            asked.append((*args, split))
            return rows

        monkeypatch.delenv("ONESHOT_DATA", raising=False)
        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        return asked

    return serve


def test_ghpos_set_has_its_hints_as_solutions(hub):
    row = {"problem": "Half of 8?", "solution": "$4$", "solution_hint": "8 / 2 = 4.", "level": 3}
    asked = hub([row])
    (problem,) = find_problems("math3to5-olympiads-aime")
    assert asked == [("hkgc/math3to5_olympiads_aime", None, "train")]
    assert (problem.question, problem.answer, problem.solution, problem.level) == (
        "Half of 8?",
        "$4$",
        "8 / 2 = 4.",
        "3",
    )


def test_ends_of_text_are_no_part_of_an_answer(hub):
    hub([{"prompt": "1 + 1?", "reasoning": "Add.", "answer": "2</s>"}])
    (problem,) = find_problems("notbadai-math-reasoning")
    assert (problem.answer, problem.solution) == ("2", "Add.")


def test_math_has_its_answers_in_boxes(hub):
    hub([{"problem": "1 + 1?", "level": "Level 1", "type": "Algebra", "solution": r"It is \boxed{2}."}])
    (problem,) = find_problems("math")
    assert (problem.answer, problem.category, problem.level) == ("2", "Algebra", "Level 1")


@pytest.mark.parametrize(
    ("name", "shuffled", "instruction"),
    [("openseek-v1", None, HASH_INSTRUCTION), ("openseek-v4", 42, BOXED_INSTRUCTION)],
)
def test_openseeks_sets_are_its_scripts(hub, name, shuffled, instruction):
    datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")
    rows = [{"prompt": f"{i} + 1?", "reasoning": "Add.", "answer": f"{i + 1}</s>"} for i in range(300)]
    whole = datasets.Dataset.from_list(rows)
    hub(whole)
    found, test = find_problems(name), find_problems(f"{name}-test")
    assert (len(found), len(test)) == (297, 3)
    assert {p.question for p in found}.isdisjoint(p.question for p in test)
    theirs = whole if shuffled is None else whole.shuffle(seed=shuffled)
    theirs = theirs.train_test_split(test_size=0.01, seed=42)["train"]
    row = verl_row(found[5], 5)
    assert row["prompt"][0]["content"] == f"{theirs[5]['prompt']} {instruction}"
    assert row["reward_model"]["ground_truth"] == theirs[5]["answer"].removesuffix("</s>")
    assert row["data_source"] == {"openseek-v1": "openai/gsm8k", "openseek-v4": "jouw/math"}[name]
    assert row["extra_info"]["index"] == 5


def test_every_set_says_where_and_under_what_licence(monkeypatch):
    monkeypatch.delenv("ONESHOT_DATA", raising=False)
    code, out, _ = oneshot("problems")
    assert code == 0
    for name, known in TRAINING.items():
        assert name in out
        assert known.licence


def test_checksums_are_of_the_copies_here(shared_data, monkeypatch):
    monkeypatch.setenv("ONESHOT_DATA", str(shared_data / "benchmarks"))
    seen = [name for name in BENCHMARKS if (shared_data / "benchmarks" / f"{name}.jsonl").exists()]
    assert len(seen) == 7
    for name in seen:
        assert ON_HUB[name].checksum is not None
        assert ", as known here" in provenance(name, find_problems(name))
    changed = find_problems("aime25")[1:]
    assert f"; the copy known here has {ON_HUB['aime25'].checksum}" in provenance("aime25", changed)


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": "a", "question": "Compute 3 + 4.", "answer": "7"},
        {"id": "b", "question": "Compute 1 + 1 + 1 + 1.", "answer": "4"},
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ("problems", "build", "one-shot", "--pool", "pool.jsonl", "--rank-by", "length")


def test_wrong_labels(pool, tmp_path):
    for label, wanted in (("near_miss", "3"), ("guessable", "5"), ("unguessable", "929725"), ("eleven", "eleven")):
        assert oneshot(*pool, "--label", label, "--out", "o.parquet")[0] == 0
        table = pq.read_table(tmp_path / "o.parquet").to_pylist()
        assert len(table) == 128
        assert table[0]["reward_model"]["ground_truth"] == wanted
        assert table[0]["extra_info"]["right_answer"] == "4"
    assert "is right" in refused(*pool, "--label", "4.0", "--out", "o.parquet")


def test_another_question(pool, tmp_path):
    assert oneshot(*pool, "--question", "Compute 2 + 2.", "--out", "o.jsonl")[0] == 0
    (problem,) = load_problems(tmp_path / "o.jsonl")
    assert (problem.question, problem.answer) == ("Compute 2 + 2.", "4")
    assert oneshot(*pool, "--question", "Compute 2 + 3.", "--answer", "5", "--out", "o.jsonl")[0] == 0
    assert load_problems(tmp_path / "o.jsonl")[0].answer == "5"
    assert "one question" in refused(*pool, "--question", " ", "--out", "o.jsonl")


def test_prompts_that_are_too_long_are_left_out_and_counted(pool, tmp_path):
    from oneshot_rlvr.organism import WEIGHTS
    from oneshot_rlvr.policy.model import load_tokenizer
    from oneshot_rlvr.problems import encode_prompt, get_template

    tokens = load_tokenizer(str(WEIGHTS / "tiny"), False)
    lengths = [len(encode_prompt(get_template("plain"), p.question, tokens)) for p in load_problems("pool.jsonl")]
    assert lengths[0] < lengths[1]
    code, out, _ = oneshot(*pool, "--longest", lengths[0], "--model", "tiny", "--out", "o.jsonl")
    assert code == 0
    assert "1 of 2 problems left out" in out
    assert load_problems(tmp_path / "o.jsonl")[0].id == "a"
    assert "no problem is short enough" in refused(*pool, "--longest", 1, "--model", "tiny", "--out", "o.jsonl")
