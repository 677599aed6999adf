"""Other libraries' tasks as problems: made, scored by their own scorers, and none of a model's text is run."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import oneshot, refused
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import Grader, Response, get_reward
from oneshot_rlvr.problems import Problem, find_problems, get_template, load_problems, to_jsonl
from oneshot_rlvr.problems.adapters import SCORED, open_set, place_of
from oneshot_rlvr.problems.adapters.reasoning_gym import EVALUATING, is_arithmetic
from oneshot_rlvr.runs import Run

DATA = Path(__file__).parents[2] / "shared" / "data" / "benchmarks"
COUNTDOWN = "rg:countdown?size=3&seed=1"


@pytest.fixture(scope="module")
def gym():
    return pytest.importorskip("reasoning_gym", reason="the extra `gym` is not installed")


@pytest.fixture
def harness(monkeypatch):
    pytest.importorskip("lm_eval", reason="the extra `lm-eval` is not installed")
    if not DATA.is_dir():
        pytest.skip("shared/data is not here")
    monkeypatch.setenv("ONESHOT_DATA", str(DATA))


def boxed(*answers: str) -> list[Response]:
    return [Response(rf"So \boxed{{{answer}}}.", "stop", 5) for answer in answers]


def test_tasks_are_problems(gym):
    problems = find_problems("rg:chain_sum?size=4&seed=1")
    assert [p.id for p in problems] == [f"chain_sum-{i}" for i in range(4)]
    assert problems == find_problems("rg:chain_sum?size=4&seed=1")
    assert problems[0].question != open_set("rg:chain_sum?size=4&seed=2").problem(0).question
    assert problems[2].source == "rg:chain_sum"
    assert place_of(problems[2]) == ("rg:chain_sum?size=4&seed=1", 2)
    assert open_set("rg:chain_sum?size=2&min_terms=5&max_terms=5").problem(0).question.count(" ") >= 8


def test_the_library_scores_its_own(gym):
    ours = find_problems("rg:chain_sum?size=4&seed=1")[0]
    with Grader(get_template("boxed"), get_reward("score")) as grader:
        responses = [*boxed(ours.answer, "no", f"{ours.answer} km"), Response("nothing", "length", 9)]
        grades = grader.grade(ours, responses)
        plain = get_reward("accuracy")(ours, [Response("", "stop", 1, g.outcome, g.extracted, g.score) for g in grades])
    partly = len(ours.answer) / len(f"{ours.answer} km")
    assert [g.outcome for g in grades] == ["correct", "wrong", "wrong", "truncated"]
    assert [g.reward for g in grades] == pytest.approx([1.0, 0.0, partly, 0.0])
    assert plain == [1.0, 0.0, 0.0, 0.0]
    assert {g.layer for g in grades[:3]} == {"scorer"}


def test_a_task_that_depends_on_hashes_is_one_task(gym):
    """Made in one process, scored in another: without fixed hashes the golds of these would be wrong."""
    problems = find_problems("rg:polynomial_multiplication?size=6&seed=1")
    with Grader(get_template("boxed")) as grader:
        assert [grader.grade(p, boxed(p.answer))[0].outcome for p in problems] == ["correct"] * 6


def test_an_answer_that_is_not_the_gold_may_be_right(gym):
    made = open_set(COUNTDOWN)
    gold = made.problem(0).answer
    assert made.score(0, "", f"( {gold} )").score == 1.0
    assert made.score(0, "", f"({gold}) + 1").score < 0.1
    assert made.score(0, "", "the answer").score < 0.1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rg:chain_sums", "no task"),
        ("rg:chain_sum?sise=3", "no option 'sise'"),
        ("rg:chain_sum?size=0", "size=0"),
        ("rg:chain_sum?size=many", "size=many"),
        ("rg:chain_sum?min_terms=9&max_terms=3", "cannot make it so"),
        ("rg:chain_sum?min_terms=no", "cannot make it so"),
        ("rg:chain_sum?min_digits=2.5&size=2", "cannot make it so"),
        ("rg:countdown?size=2&min_target=100000&max_target=100001", "cannot make it so"),
        ("rg:spell_backward?data_file=/dev/zero", "no option 'data_file'"),
    ],
)
def test_a_wrong_name_is_one_line(gym, name, said):
    assert said in refused("problems", name)


def test_without_the_library(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OneshotError, match=r"pip install 'oneshot-rlvr\[gym\]'"):
        find_problems("rg:chain_sum")


@pytest.mark.parametrize(
    "said",
    [
        3,
        "rg:chain_sum",
        {"set": "rg:chain_sum"},
        {"set": "math", "index": 0},
        {"set": "rg:x", "index": -1},
        {"set": "rg:x\0", "index": 0},
    ],
)
def test_a_file_cannot_bring_a_scorer_of_its_own(said):
    with pytest.raises(OneshotError, match="names no scorer"):
        place_of(Problem("a", "Q?", "1", "s", extra={SCORED: said}))


def test_a_scorer_that_cannot_be_made_is_one_line(gym):
    problem = Problem("a", "Q?", "1", "s", extra={SCORED: {"set": "rg:nothing", "index": 0}})
    with Grader(get_template("boxed")) as grader, pytest.raises(OneshotError, match="no task 'nothing'"):
        grader.grade(problem, boxed("1"))


def test_another_problem_than_its_own_is_refused(gym):
    """A changed gold, say: its scorer would judge another problem."""
    problem = find_problems("rg:chain_sum?size=4&seed=1")[0]
    with Grader(get_template("boxed")) as grader, pytest.raises(OneshotError, match="another problem"):
        grader.grade(replace(problem, answer="0"), boxed("0"))


def test_a_label_takes_the_scorer_away(gym, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.jsonl").write_text(to_jsonl(find_problems("rg:chain_sum?size=4&seed=1")))
    args = (
        "problems",
        "build",
        "one-shot",
        "--pool",
        "p.jsonl",
        "--rank-by",
        "length",
        "--label",
        "4",
        "--out",
        "o.jsonl",
    )
    assert oneshot(*args)[0] == 0
    (problem,) = load_problems(tmp_path / "o.jsonl")
    assert problem.answer == "4"
    assert place_of(problem) is None


def test_no_number_is_not_the_answer(gym):
    made = open_set("rg:complex_arithmetic?size=1&seed=1")
    assert made.score(0, "", made.problem(0).answer).score == 1.0
    assert made.score(0, "", "nan").score == 0.0
    assert made.score(0, "", "inf + 2i").score == 0.0


# A call that leaves a file behind, as each scorer would have it evaluated.
def attacks(canary: Path) -> dict[str, str]:
    call = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    return {
        "binary_matrix": call,
        "spiral_matrix": f"[{call}]",
        "string_insertion": f"[{call}]",
        "n_queens": call,
        "countdown": call,
        "puzzle24": call,
        "polynomial_multiplication": call,
        "simple_integration": call,
        "intermediate_integration": call,
    }


SCORE = """
import json, sys
from oneshot_rlvr.problems.adapters import open_set
from oneshot_rlvr.problems.adapters.reasoning_gym import make_safe
texts = json.loads(sys.argv[1])
sets = {task: open_set(f"rg:{task}?size=1&seed=1") for task in texts}
if sys.argv[2] == "guarded":
    make_safe()
print(max(sets[task].score(0, text, text).score for task, text in texts.items()))
logic = open_set("rg:propositional_logic?size=1&seed=1")  # has a parser of its own, called as sympy's is
right = logic._entry(0)["metadata"]["example_answer"]
print(logic.score(0, right, right).score)
"""


def score_in_a_process(texts: dict[str, str], how: str) -> float:
    command = [sys.executable, "-c", SCORE, json.dumps(texts), how]
    said = subprocess.run(command, check=True, timeout=100, capture_output=True, text=True).stdout
    highest, logic = map(float, said.split())
    assert logic == 1.0
    return highest


def test_nothing_that_a_model_says_is_run(gym, tmp_path):
    assert score_in_a_process(attacks(tmp_path / "canary"), "guarded") < 0.1
    assert not list(tmp_path.iterdir())


def test_without_the_guard_it_would_be(gym, tmp_path):
    """The attacks are real: the library alone runs them."""
    wanted = {task: attacks(tmp_path / task)[task] for task in attacks(tmp_path)}
    score_in_a_process(wanted, "as it is")
    assert {path.name for path in tmp_path.iterdir()} == set(wanted)


def test_every_scorer_that_evaluates_is_known(gym):
    """Of the installed version: which modules' scorers call eval or exec, or sympy's parser, on anything."""
    package = Path(gym.__file__).parent
    found = {}
    for path in package.rglob("*.py"):
        text = path.read_text()
        tree = ast.parse(text if re.search(r"\b(eval|exec|compile)\(", text) else "")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == "score_answer":
                calls = {ast.unparse(c.func) for c in ast.walk(node) if isinstance(c, ast.Call)}
                if calls & {"eval", "exec", "compile"}:
                    found[".".join(path.relative_to(package).with_suffix("").parts)] = calls
    found.pop("algorithmic.number_sorting")  # evaluates its own answer
    assert set(found) == set(EVALUATING)


def test_the_doors_are_shut(tmp_path):
    program = """
import os, socket, subprocess, sys
from oneshot_rlvr.grading.scored_worker import shut_doors
shut_doors()
def tried(call):
    try:
        call()
    except PermissionError:
        return
    sys.exit(f"not refused: {call.__code__.co_firstlineno}")
tried(lambda: open(sys.argv[1], "w"))
tried(lambda: os.open(sys.argv[1], os.O_CREAT | os.O_RDWR))
tried(lambda: subprocess.run(["true"]))
tried(lambda: os.system("true"))
tried(lambda: os.remove(sys.argv[1]))
tried(lambda: os.fork())
tried(lambda: socket.create_connection(("127.0.0.1", 9)))
import json.tool
open(os.devnull).close()
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "x")], check=True, timeout=100)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    ["3*(4+5)-6", "x**3/3 + C", "2*sin(x)*exp(-x)", "1.5*x**2", "sqrt(2)", "-x", "x**(3/2)", "(x**2 + 1)**3 / 4"],
)
def test_arithmetic_is_read(text):
    assert is_arithmetic(text)


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "9**(9**9)",
        "((9**9999)**9999)**9999",
        "4**(9)**9999",
        "9**sqrt(9**9999)",
        "x.__class__",
        "().x",
        "a[0]",
        "'a'",
        "lambda: 0",
        "exit()",
        "import os",
        "x**123456",
        "9" * 500,
        "f.g",
        None,
        "x" * 2000,
    ],
)
def test_anything_else_is_not(text):
    assert not is_arithmetic(text)


@given(st.text(max_size=60))
def test_what_is_arithmetic_has_no_way_out(text):
    if is_arithmetic(text):
        assert not set(text) & set("_'\"[]{}:;@=\\,")


def test_a_run_is_scored_by_the_library(gym, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "rg:chain_sum?size=4&seed=1"
    small = ["--set", "batch.groups_per_step=2", "--set", "sampling.max_prompt_tokens=400"]
    code, *_ = oneshot(
        "train",
        "grpo",
        "--model",
        "tiny",
        "--problems",
        name,
        "--reward",
        "score",
        "--steps",
        2,
        "--out",
        "run",
        *small,
        "--quiet",
    )
    assert code == 0
    run = Run(tmp_path / "run")
    assert [p.id for p in run.problems] == [f"chain_sum-{i}" for i in range(4)]
    assert len(run.rollouts(2)) == 16
    code, _out, _ = oneshot("eval", "run", "--suite", name, "--samples", 2, "--quiet")
    assert code == 0
    assert len(run.evaluation().rows("base")) == 4


def test_scored_problems_survive_a_file(gym, tmp_path):
    problems = find_problems("rg:chain_sum?size=4&seed=1")
    path = tmp_path / "p.jsonl"
    path.write_text(to_jsonl(problems))
    assert load_problems(path) == problems


def test_a_harness_task(harness):
    problems = find_problems("lm:gsm8k?size=3")
    assert problems[0].question.startswith("Question: Janet")
    assert problems[0].question.endswith("Answer:")
    with Grader(get_template("bare"), get_reward("score")) as grader:
        texts = ["She makes 18. #### 18", "#### 18 dollars\nQuestion: next? #### 3", "The answer is 18", "#### 17"]
        grades = grader.grade(problems[0], [Response(text, "stop", 9) for text in texts])
        assert [g.reward for g in grades] == [1.0, 1.0, 0.0, 0.0]
        assert grades[0].extracted == "18"
    assert open_set("lm:gsm8k?size=1&filter=flexible-extract").score(0, "The answer is 18", None) == (1.0, "18")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lm:gsm9k", "no task 'gsm9k'"),
        ("lm:gsm8k?shots=3", "no option 'shots'"),
        ("lm:gsm8k?split=dev", "no split 'dev'"),
        ("lm:gsm8k?split=training", "another split is a file of its own"),  # not the test's problems
        ("lm:gsm8k?filter=loose", "no filter 'loose'"),
        ("lm:gsm8k?metric=bleu", "no metric 'bleu'"),
    ],
)
def test_a_wrong_harness_name_is_one_line(harness, name, said):
    assert said in refused("problems", name)


def test_places_are_json(gym):
    assert json.loads(to_jsonl(find_problems(COUNTDOWN)).splitlines()[1])["extra"][SCORED]["index"] == 1
