"""The package as a library: what docs/api.md shows, and that it does what the command does."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import oneshot_rlvr as oneshot
from command import oneshot as command
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.runs import Run
from runs import same, weights

DOCS = Path(__file__).parents[1] / "docs"
SHORT = {"run.steps": 2, "run.save_every": 2, "batch.groups_per_step": 2}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_examples_of_the_documentation_run(capsys):
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "api.md").read_text(), re.S)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, "docs/api.md", "exec"), names)
    assert isinstance(names["run"], Run)
    assert names["run"].steps() == [1, 2, 3]
    assert Path("runs/page.html").exists()
    assert names["ranking"][0].rank == 1
    assert "avg@2" in capsys.readouterr().out


def test_importing_the_package_loads_no_torch():
    code = "import sys, oneshot_rlvr; print(oneshot_rlvr.__version__, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [metadata.version("oneshot-rlvr"), "False"]
    assert oneshot.__version__ == metadata.version("oneshot-rlvr")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        oneshot.nothing  # noqa: B018


def test_it_trains_as_the_command_does(tmp_path):
    run = oneshot.train("grpo", model="tiny", problems="organism", settings=SHORT, out="python")
    sets = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]
    assert command("train", "grpo", "--model", "tiny", "--problems", "organism", "--out", "shell", *sets)[0] == 0
    assert same(weights(run, 2), weights(Run("shell"), 2))
    assert run.rollouts(2) == Run("shell").rollouts(2)
    assert run.config == Run("shell").config


def rewarded(problem, responses):
    return [float(r.tokens) for r in responses]


def test_what_is_wrong_is_a_warning_without_control_characters(tmp_path):
    cut = SHORT | {"run.steps": 5, "sampling.max_new_tokens": 2, "run.validate_every": 0}
    hostile = Problem("sum", "What is 3 + 4?", "7\x1b[2J", "test")
    with pytest.warns(UserWarning, match="truncated") as caught:
        oneshot.train("grpo", model="tiny", problems=[hostile], settings=cut, out="run")
    assert "\x1b" not in "".join(str(one.message) for one in caught)


def test_an_unfinished_run_goes_on_and_another_is_refused(tmp_path):
    given = {"model": "tiny", "problems": [Problem("a", "What is 3 + 4 + 5?", "12", "test")], "reward": rewarded}
    settings = {**SHORT, "run.steps": 3, "run.save_every": 1}

    def stop(step, steps, metrics):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        oneshot.train("grpo", **given, settings=settings, out="run", on_step=stop)
    run = oneshot.train("grpo", **given, settings=settings, out="run")
    assert [line["step"] for line in run.metrics()] == [1, 2, 3]
    whole = oneshot.train("grpo", **given, settings=settings, out="whole")
    assert same(weights(run, 3), weights(whole, 3))
    assert run.metrics()[0]["reward/mean"] > 1
    with pytest.raises(OneshotError, match="of another configuration"):
        oneshot.train("grpo", **{**given, "problems": [("What is 1 + 1?", "2")]}, settings=settings, out="run")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"problems": [("What?", "")]}, "answer is empty"),
        ({"problems": ["What?"]}, r"problems, item 1.*is no problem"),
        ({"problems": []}, "holds no problem"),
        ({"problems": [{"id": 1, "question": "a", "answer": 1}] * 2}, "already used"),
        ({"reward": "acuracy"}, "Did you mean 'accuracy'"),
        ({"settings": {"run.stepz": 1}}, "Did you mean 'run.steps'"),
        ({"model": "tinny"}, "Did you mean 'tiny'"),
        ({"reward": lambda problem, responses: [1 / 0]}, "ZeroDivisionError"),
    ],
)
def test_mistakes_raise_one_line(given, says):
    with pytest.raises(OneshotError, match=says) as error:
        oneshot.train("grpo", **{"model": "tiny", "settings": {"run.steps": 1}, **given})
    assert "\n" not in str(error.value)


def test_none_is_a_value_and_a_reward_may_be_any_callable(tmp_path):
    quick = {**SHORT, "run.steps": 1, "run.validation": None}

    class Longest:
        def __call__(self, problem, responses):
            return [float(r.tokens) for r in responses]

    run = oneshot.train("grpo", model="organism", problems="organism", settings=quick, reward=Longest(), out="none")
    assert run.config.run.validation is None
    assert run.sources["run.validation"] == "--set"
    assert run.metrics()[0]["reward/mean"] > 1
    part = functools.partial(lambda problem, responses, weight: [weight] * len(responses), weight=0.5)
    run = oneshot.train("grpo", model="tiny", problems="organism", settings=SHORT, reward=part, out="part")
    assert run.metrics()[0]["reward/mean"] == 0.5


def test_it_evaluates_as_the_command_does(tmp_path):
    run = oneshot.train("grpo", model="tiny", problems="organism", settings=SHORT, out="run")
    scores = oneshot.evaluate(run, suites=["organism:numbers"], limit=4, samples=2, workers=1)
    written = (run.path / "eval" / "scores.json").stat().st_mtime_ns
    same = ["--suite", "organism:numbers", "--limit", 4, "--samples", 2, "--workers", 1]
    assert command("eval", run.path, *same)[0] == 0
    assert (run.path / "eval" / "scores.json").stat().st_mtime_ns == written  # nothing made way
    assert run.evaluation().scores() == scores
    with pytest.raises(OneshotError, match="greedy"):
        oneshot.evaluate(run, protocol="released-validation", samples=8)
    for mistake in ({"samples": 0}, {"limit": 0}, {"temperature": 0}, {"max_new_tokens": -1}, {"every": 0}):
        with pytest.raises(OneshotError, match=next(iter(mistake))):
            oneshot.evaluate(run, **mistake)


def test_a_model_is_evaluated_in_python_with_all_that_the_command_has(tmp_path, caplog):
    (tmp_path / "own.jsonl").write_text(
        '{"question": "1 + 1 = ?", "answer": "2"}\n{"question": "Say so.", "answer": "$ $"}\n'
    )
    how = {"suites": [tmp_path / "own.jsonl"], "samples": 2, "template": "plain", "fallback": True, "words": ["so"]}
    scores = oneshot.evaluate("tiny", **how, settings={"sampling.max_new_tokens": 5}, out=tmp_path / "eval", workers=1)
    assert scores.first.average.length <= 5
    assert list(scores.first.average.words) == ["so"]
    assert "own.jsonl: 2 responses are to golds that nothing can be compared with" in caplog.text


def test_select_takes_a_history_and_report_wants_runs(tmp_path):
    (tmp_path / "h.json").write_text('{"a": [0, 1], "b": [0.5, 0.5]}')
    assert [row.id for row in oneshot.select("h.json")] == ["a", "b"]
    with pytest.raises(OneshotError, match="Did you mean 'variance'"):
        oneshot.select("h.json", by="varience")
    with pytest.raises(OneshotError, match="no run"):
        oneshot.report([])
