"""Statistics, transcripts, selection, the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import Checkpoint, Evaluator, Protocol, average_interval, checkpoints_of, mean_interval
from oneshot_rlvr.evaluation.checkpoints import best_by_validation
from oneshot_rlvr.evaluation.evaluate import score_rows
from oneshot_rlvr.evaluation.runs import evaluate_checkpoints
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.problems import Problem, find_problems, get_template
from oneshot_rlvr.report import write_report
from oneshot_rlvr.report.page import inert_json
from oneshot_rlvr.rundir import RunDir
from oneshot_rlvr.selection import accuracy_history, rank_by_variance, read_history
from oneshot_rlvr.session import chosen_problems, start


def row(*outcomes: str, greedy: str = "wrong") -> dict:
    def response(outcome):
        return {
            "text": r"\boxed{1} recheck" if outcome == "correct" else "x",
            "finish": "stop",
            "tokens": 4,
            "outcome": outcome,
        }

    return {"samples": [response(o) for o in outcomes], "greedy": [response(greedy)]}


def test_scores_by_hand():
    rows = [
        row("correct", "wrong"),
        row("correct", "correct", greedy="correct"),
        row("no_answer", "wrong"),
        row(),
        row("wrong", "wrong"),
    ]
    score = score_rows(rows, Protocol(samples=2))
    assert score["avg@2"] == pytest.approx(100 * (0.5 + 1 + 0 + 0 + 0) / 5)
    assert score["greedy"] == pytest.approx(20)
    assert score["boxed"] == score["reflection"] == pytest.approx(3 / 8)
    assert score["outcomes"] == {"correct": 3, "no_answer": 1, "wrong": 4}
    assert score["prompt_too_long"] == 1
    low, high = score["interval"]
    assert low < score["avg@2"] < high


def test_intervals_cover_about_as_often_as_they_say():
    random, covered = np.random.default_rng(0), 0
    for trial in range(300):
        rates = random.binomial(8, random.beta(2, 3, size=64)) / 8
        low, high = mean_interval(rates.tolist(), seed=trial)
        covered += low <= 0.4 <= high
    assert covered / 300 > 0.9


def test_intervals_at_the_edges_are_not_empty():
    low, high = mean_interval([1.0] * 20)
    assert low < 0.9
    assert high == pytest.approx(1.0)
    low, high = average_interval([[0.0] * 10, [0.0] * 10])
    assert high > 0.1


def test_ranking_by_hand_is_stable():
    history = {"flat": [0.5, 0.5], "a": [0.0, 1.0], "b": [1.0, 0.0], "zero": [0.0, 0.0]}
    ranking = rank_by_variance(history)
    assert [r.problem_id for r in ranking] == ["a", "b", "flat", "zero"]
    assert (ranking[0].rank, ranking[0].std, ranking[0].mean, ranking[0].visits) == (1, 0.5, 0.5, 2)


def test_ranking_of_the_released_history(shared_data):
    """The paper's labels: pi_1, pi_2, pi_13 and the last of the zero-variance ties."""
    ranking = rank_by_variance(read_history(shared_data / "dsr_sub" / "acc_step_500.json"))
    assert len(ranking) == 1209
    first = [124, 267, 531, 931, 212, 25, 568, 131, 649, 724, 875, 925, 682, 100, 291, 50, 870]
    assert [int(r.problem_id) for r in ranking[:17]] == first
    assert ranking[0].std ** 2 == pytest.approx(1859 / 11236)
    assert ranking[12].std == pytest.approx(0.27260814481097945)
    labels = {605: "60", 606: "906", 1201: "847", 1207: "174", 1208: "770", 1209: "789"}
    assert {rank: ranking[rank - 1].problem_id for rank in labels} == labels


def test_a_history_that_is_none(tmp_path):
    (tmp_path / "h.json").write_text('{"a": "b"}')
    with pytest.raises(OneshotError, match="not an accuracy history"):
        read_history(tmp_path / "h.json")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    settings = ["run.steps=4", "run.save_every=2", "run.validate_every=2", "run.validation=organism:validation"]
    config, sources = resolve("grpo", "tiny", [*settings, "run.validation_samples=1"])
    run = RunDir(tmp_path_factory.mktemp("eval") / "run")
    start(run, config, sources, chosen_problems(config)[:6])
    return run


def evaluator(folder: Path) -> Evaluator:
    suites = {name: find_problems(name)[:12] for name in ("organism:numbers", "organism:stories")}
    return Evaluator(suites, get_template("plain"), Protocol(samples=3, max_new_tokens=48), folder)


def test_an_interrupted_evaluation_samples_nothing_twice(run, tmp_path):
    checkpoints = checkpoints_of(run)
    assert [c.name for c in checkpoints] == ["base", "step_000002", "step_000004"]
    whole = evaluate_checkpoints(checkpoints, evaluator(tmp_path / "whole"), tmp_path / "whole")
    assert json.loads((tmp_path / "whole" / "scores.json").read_text()) == whole

    class StopNow(Exception):  # noqa: N818
        pass

    def stop(checkpoint, suite):
        if (checkpoint, suite) == ("step_000002", "organism:numbers"):
            raise StopNow

    with pytest.raises(StopNow):
        evaluate_checkpoints(checkpoints, evaluator(tmp_path / "cut"), tmp_path / "cut", stop)
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "transcripts").iterdir()}
    assert len(done) == 3
    assert evaluate_checkpoints(checkpoints, evaluator(tmp_path / "cut"), tmp_path / "cut") == whole
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "transcripts").iterdir()}
    assert len(again) == 6
    assert done.items() <= again.items()


def test_a_problems_samples_do_not_depend_on_the_others(run, tmp_path):
    base: Checkpoint = checkpoints_of(run)[0]
    policy = load_policy(base.section)
    few, many = evaluator(tmp_path / "few"), evaluator(tmp_path / "many")
    few.suites = {"organism:numbers": find_problems("organism:numbers")[5:8]}
    for one in (few, many):
        one.evaluate(base.content_hash, lambda: policy)
    texts = [[s["text"] for s in r["samples"]] for r in few.examples(base.content_hash, "organism:numbers", 3)]
    assert texts == [
        [s["text"] for s in r["samples"]] for r in many.examples(base.content_hash, "organism:numbers", 12)[5:8]
    ]


def test_the_best_checkpoint_is_validations(run):
    scored = {line["step"]: line["validation/avg@1"] for line in run.metrics() if "validation/avg@1" in line}
    assert sorted(scored) == [2, 4]
    best = best_by_validation(run)
    assert best is not None
    assert scored[best] == max(scored.values())


def test_a_prompt_without_room_is_counted_not_a_crash(run, tmp_path):
    long = Problem("long", "word " * 300, "1", "test")
    one = Evaluator(
        {"s": [long, *find_problems("organism:numbers")[:2]]},
        get_template("plain"),
        Protocol(2, max_new_tokens=48),
        tmp_path,
    )
    base = checkpoints_of(run)[0]
    score = one.evaluate(base.content_hash, lambda: load_policy(base.section))["s"]
    assert (score["prompt_too_long"], score["n"]) == (1, 3)


def test_history_has_a_value_a_visit(run):
    history = accuracy_history(run)
    assert len(history) == 6
    assert sum(len(values) for values in history.values()) == 4 * 4  # every group a visit: 4 steps of 4 groups


def test_the_page_shows_hostile_text_as_text_and_fetches_nothing(run, tmp_path):
    evaluate_checkpoints(checkpoints_of(run), evaluator(run.path / "eval"), run.path / "eval")
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = run.read_rollouts(1)
    run.write_rollouts(1, [{**row, "text": hostile} for row in rows])
    page = write_report([run.path], tmp_path / "report.html").read_text()
    assert hostile not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<script") == 3
    own = page.split("<script>")[0] + page.rsplit("<script>", 1)[1]
    assert "http://" not in own
    assert "https://" not in own
    assert "default-src 'none'" in page
    assert "</script" not in inert_json({"a": hostile})


def test_a_report_of_nothing_says_so(tmp_path):
    with pytest.raises(OneshotError, match="cannot read it"):
        write_report([tmp_path], tmp_path / "r.html")
