"""Evaluation of a run: transcripts, resuming, scores, regrading, comparing, publishing."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

import children
from command import oneshot, refused
from oneshot_rlvr.commands.session import chosen_problems, start
from oneshot_rlvr.config import ModelSection, resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import (
    Checkpoint,
    Evaluator,
    Protocol,
    Sampling,
    card,
    checkpoints_of,
    get_protocol,
)
from oneshot_rlvr.evaluation import evaluate as evaluate_module
from oneshot_rlvr.evaluation.card import prepare_upload
from oneshot_rlvr.evaluation.offline import Evaluation, compare, regrade
from oneshot_rlvr.evaluation.publish import log_scores, write_lm_eval
from oneshot_rlvr.evaluation.scoring import score_rows
from oneshot_rlvr.evaluation.summary import saturation_step
from oneshot_rlvr.evaluation.sweep import evaluate_checkpoints
from oneshot_rlvr.evaluation.target import Ahead, Options, evaluate_target
from oneshot_rlvr.files import locked
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.problems import Problem, find_problems, get_template
from oneshot_rlvr.runs import EvaluationFolder, Run, Score, Scores
from oneshot_rlvr.sealing import read_record
from oneshot_rlvr.selection import accuracy_history


def row(*outcomes: str, greedy: str = "wrong", category: str = "sums", level: str = "1") -> dict:
    def response(outcome):
        return {
            "text": r"\boxed{1} recheck" if outcome == "correct" else "x",
            "finish": "stop",
            "tokens": 4,
            "outcome": outcome,
            "extracted": {"correct": "1", "wrong": "2"}.get(outcome),
        }

    return {
        "samples": [response(o) for o in outcomes],
        "greedy": [response(greedy)],
        "category": category,
        "level": level,
    }


def test_scores_by_hand():
    rows = [
        row("correct", "wrong"),
        row("correct", "correct", greedy="correct"),
        row("no_answer", "wrong", category="pairs"),
        row(),
        row("wrong", "wrong"),
    ]
    score = score_rows(rows, ["recheck", "wait"])
    assert (score.metric, score.accuracy) == ("avg@2", pytest.approx(100 * (0.5 + 1 + 0 + 0 + 0) / 5))
    assert score.passes == {2: pytest.approx(100 * 2 / 5)}
    assert score.majority == pytest.approx(100 * (0.5 + 1 + 0 + 0 + 0) / 5)
    assert score.greedy == pytest.approx(20)
    assert score.boxed == score.reflection == score.words["recheck"] == pytest.approx(3 / 8)
    assert score.boxed_accuracy == 100
    assert (score.words["wait"], score.no_answer) == (0, 1 / 8)
    assert score.outcomes == {"correct": 3, "no_answer": 1, "wrong": 4}
    assert score.prompt_too_long == 1
    assert {name: (part.accuracy, part.n) for name, part in score.by["category"].items()} == {
        "pairs": (0, 1),
        "sums": (pytest.approx(37.5), 4),
    }
    assert "level" not in score.by  # one level alone is no breakdown
    low, high = score.interval
    assert low < score.accuracy < high
    assert Score.from_json(json.loads(json.dumps(score.to_json()))) == score


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    settings = ["run.steps=4", "run.save_every=2", "run.validate_every=2", "run.validation=organism:validation"]
    config, sources = resolve("grpo", "tiny", [*settings, "run.validation_samples=1"])
    run = Run(tmp_path_factory.mktemp("eval") / "run")
    start(run, config, sources, chosen_problems(config)[:6])
    return run


def evaluator(folder: Path) -> Evaluator:
    suites = {name: find_problems(name)[:12] for name in ("organism:numbers", "organism:stories")}
    return Evaluator(
        suites, get_template("plain"), Protocol(sampling=Sampling(3), max_new_tokens=48), EvaluationFolder(folder)
    )


def transcripts(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "transcripts").glob("*.zst")}


def test_an_interrupted_evaluation_samples_nothing_twice(run, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate_module, "UNIT_ROLLOUTS", 18)  # two units a suite
    checkpoints = checkpoints_of(run)
    assert [c.name for c in checkpoints] == ["base", "step_000002", "step_000004"]
    whole = evaluate_checkpoints(checkpoints, evaluator(tmp_path / "whole"))
    assert EvaluationFolder(tmp_path / "whole").scores() == whole
    assert len(transcripts(tmp_path / "whole")) == 3 * 2 * 2

    class StopNow(Exception):  # noqa: N818
        pass

    def stop(checkpoint, suite):
        if (checkpoint, suite) == ("step_000002", "organism:numbers"):
            raise StopNow

    with pytest.raises(StopNow):
        evaluate_checkpoints(checkpoints, evaluator(tmp_path / "cut"), stop)
    done = transcripts(tmp_path / "cut")
    assert len(done) == 5
    assert evaluate_checkpoints(checkpoints, evaluator(tmp_path / "cut")) == whole
    assert len(transcripts(tmp_path / "cut")) == 12
    assert done.items() <= transcripts(tmp_path / "cut").items()


@pytest.mark.parametrize(("workers", "kills"), [("1", 2), pytest.param("2", 3, marks=pytest.mark.slow)])
def test_killed_at_a_random_point_it_goes_on_to_identical_scores(run, tmp_path, workers, kills):
    """SIGKILL of the command, and so of its workers, at random times, against an uninterrupted evaluation."""
    suites = [part for name in ("numbers", "hard") for part in ("--suite", f"organism:{name}")]
    asked = ["eval", str(run.path), *suites, "--limit", "4", "--samples", "8", "--max-new-tokens", "48", "--quiet"]
    command = [*asked, "--workers", workers, "--out"]
    random, kept = np.random.default_rng(int(workers)), {}
    for _ in range(kills):
        process, wanted = children.start(*command, tmp_path / "cut"), len(kept) + int(random.integers(1, 4))
        while process.is_alive() and len(list((tmp_path / "cut").glob("transcripts/*.zst"))) < wanted:
            time.sleep(0.005)
        time.sleep(float(random.uniform(0, 0.2)))
        process.kill()
        process.join()
        if (tmp_path / "cut" / "transcripts").exists():
            assert kept.items() <= transcripts(tmp_path / "cut").items()
            kept = transcripts(tmp_path / "cut")
    assert oneshot(*asked, "--workers", 1, "--out", tmp_path / "cut")[0] == 0
    assert kept.items() <= transcripts(tmp_path / "cut").items()
    assert oneshot(*asked, "--workers", 1, "--out", tmp_path / "whole")[0] == 0
    for name in ("scores.json", "summary.json", "index.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_kill_after_another_protocol_was_asked_leaves_no_stale_score(run, tmp_path, monkeypatch):
    checkpoints, one = checkpoints_of(run)[:1], evaluator(tmp_path)
    evaluate_checkpoints(checkpoints, one)
    other = replace(one, protocol=replace(one.protocol, mode="gsm8k-strict"))

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Evaluator, "rows", killed)
        evaluate_checkpoints(checkpoints, other)
    found = evaluate_checkpoints(checkpoints, other)
    fresh = evaluate_checkpoints(checkpoints, replace(other, folder=EvaluationFolder(tmp_path / "fresh")))
    assert found == fresh


def test_a_deleted_transcript_is_sampled_again(run, tmp_path):
    checkpoints, one = checkpoints_of(run)[:2], evaluator(tmp_path)
    before = evaluate_checkpoints(checkpoints, one)
    gone = next((tmp_path / "transcripts").glob("*.zst"))
    gone.unlink()
    assert evaluate_checkpoints(checkpoints, one) == before
    assert gone.exists()


def test_a_second_evaluation_of_a_folder_is_refused_and_equal_weights_are_sampled_once(run, tmp_path):
    with (
        locked(tmp_path, "evaluation folder"),
        pytest.raises(OneshotError, match="another process is using this evaluation folder"),
    ):
        evaluate_checkpoints(checkpoints_of(run)[:1], evaluator(tmp_path))
    base = checkpoints_of(run)[0]
    same = replace(base, name="step_000009", step=9)
    scores = evaluate_checkpoints([base, same], evaluator(tmp_path), workers=2)
    assert scores.base == scores.checkpoints[9]
    assert len(transcripts(tmp_path)) == 2


def test_only_new_checkpoints_are_sampled_or_graded(run, tmp_path, monkeypatch):
    checkpoints, one = checkpoints_of(run), evaluator(tmp_path)
    first = evaluate_checkpoints(checkpoints[:2], one)
    graded = []
    original = Evaluator.rows
    monkeypatch.setattr(
        Evaluator, "rows", lambda self, weights, *a: graded.append(weights) or original(self, weights, *a)
    )
    both = evaluate_checkpoints(checkpoints, one)
    assert graded == [checkpoints[2].content_hash]
    assert (both.base, both.checkpoints[2]) == (first.base, first.checkpoints[2])


def test_a_problems_samples_do_not_depend_on_the_others(run, tmp_path):
    base: Checkpoint = checkpoints_of(run)[0]
    policy = load_policy(base.section)
    few, many = evaluator(tmp_path / "few"), evaluator(tmp_path / "many")
    few.suites = {"organism:numbers": find_problems("organism:numbers")[5:8]}
    texts = []
    for one in (few, many):
        one.sample(base.content_hash, lambda: policy, one.template)
        with one.grader(one.template) as grader:
            rows = one.rows(base.content_hash, grader, one.template)["organism:numbers"]
        texts.append([[s["text"] for s in r["samples"]] for r in rows])
    assert texts[0] == texts[1][5:8]


def test_regrading_needs_no_model_and_agrees_with_scoring(run, tmp_path):
    scores = evaluate_checkpoints(checkpoints_of(run), evaluator(tmp_path))
    again, path = regrade(tmp_path, "default")
    assert again == scores
    strict, path = regrade(tmp_path, "gsm8k-strict")
    assert path.name == "scores.gsm8k-strict.json"
    assert Scores.from_json(read_record(path)) == strict
    assert strict.first.average.accuracy < scores.first.average.accuracy
    with pytest.raises(OneshotError, match="unknown grading mode"):
        regrade(tmp_path, "nonsense")
    with pytest.raises(OneshotError, match="no evaluation in this folder"):
        regrade(tmp_path / "nothing", "default")


def test_a_damaged_transcript_is_named(run, tmp_path):
    evaluate_checkpoints(checkpoints_of(run)[:1], evaluator(tmp_path))
    broken = next((tmp_path / "transcripts").glob("*.zst"))
    broken.write_bytes(b"nothing")
    with pytest.raises(OneshotError, match=broken.name):
        regrade(tmp_path, "default")


def test_a_checkpoint_compared_with_itself_and_with_another(run, tmp_path):
    evaluate_checkpoints(checkpoints_of(run), evaluator(tmp_path))
    same = compare(f"{tmp_path}:base", f"{tmp_path}:base")["suites"]
    assert set(same) == {
        f"{s}{k}" for s in ("organism:numbers", "organism:stories", "average") for k in ("", " (greedy)")
    }
    assert {row["difference"] for row in same.values()} == {0}
    assert {row["p_value"] for row in same.values()} == {1}
    other = compare(f"{tmp_path}:base", f"{tmp_path}:step_000004")["suites"]["average"]
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert other["difference"] == pytest.approx(other["b"] - other["a"])
    assert other["a"] == pytest.approx(scores["base"]["average"]["avg@3"])
    assert other["interval"][0] <= other["difference"] <= other["interval"][1]
    with pytest.raises(OneshotError, match="no checkpoint 'step_9'"):
        compare(f"{tmp_path}:base", f"{tmp_path}:step_9")


def test_the_honest_protocol_asks_the_base_under_other_templates(run, tmp_path):
    protocol = replace(get_protocol("honest"), sampling=Sampling(2))
    options = Options(["organism:numbers"], tmp_path, limit=4, workers=1)
    heard: list[tuple[int, str, int]] = []
    ahead: list[Ahead] = []
    listener = SimpleNamespace(ahead=ahead.append, update=lambda *told: heard.append(told))
    result = evaluate_target(str(run.path), protocol, options, listener)
    assert set(result.scores.labelled()) == {"base", "base@boxed", "base@chat", "step_000002", "step_000004"}
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["base_by_template"]) == {"base", "base@boxed", "base@chat"}
    assert summary["gain_over_best_template"] <= summary["gain"]
    texts = [Evaluation.at(tmp_path).rows(name)["organism:numbers"][0]["samples"] for name in ("base", "base@chat")]
    assert texts[0] != texts[1]
    assert ahead[0].calls == [(8, 64), (4, 64)] * 5  # two samples and a greedy one of four problems, before it began
    assert [done for done, note, total in heard if not note.endswith(" tokens")] == [1, 2, 3, 4, 5]
    rows = Evaluation.at(tmp_path).rows("base")["organism:numbers"]
    drawn = sum(response["tokens"] for row in rows for response in row["samples"] + row["greedy"])
    assert f"base organism:numbers {drawn:,} tokens" in [note for _, note, _ in heard]


def test_saturation_is_a_mean_of_five_steps():
    accuracy = [0.5, 1.0, 0.9, 0.95, 0.95, 0.96, 0.94, 1.0]
    assert saturation_step(range(1, 9), accuracy) == 6
    assert saturation_step(range(1, 5), accuracy[:4]) is None
    assert saturation_step(range(1, 9), [0.9] * 8) is None


def test_scores_go_out_as_lm_eval_and_to_a_tracker(run, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    scores = evaluate_checkpoints(checkpoints_of(run), evaluator(tmp_path))
    write_lm_eval(EvaluationFolder(tmp_path))
    report = json.loads((tmp_path / "lm_eval" / "step_000004.json").read_text())
    entry, score = report["results"]["organism:numbers"], scores.checkpoints[4].suites["organism:numbers"]
    assert entry["avg@3,none"] == pytest.approx(score.accuracy / 100)
    assert entry["avg@3_stderr,none"] > 0
    log_scores(EvaluationFolder(tmp_path), "tensorboard")
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = {event.step: event.value for event in events.Scalars("eval/numbers/avg@3")}
    found = {0: scores.first, 4: scores.checkpoints[4]}
    expected = {step: one.suites["organism:numbers"].accuracy for step, one in found.items()}
    assert {step: logged[step] for step in expected} == pytest.approx(expected)
    with pytest.raises(OneshotError, match="unknown tracker"):
        log_scores(EvaluationFolder(tmp_path), "tensorbord")


def test_the_best_checkpoint_is_validations(run):
    scored = {line["step"]: line["validation/avg@1"] for line in run.metrics() if "validation/avg@1" in line}
    assert sorted(scored) == [2, 4]
    best = run.chosen_step()
    assert best == run.validated_step()
    assert scored[best] == max(scored.values())
    assert run.chosen_step([step for step in scored if step != best]) not in (None, best)
    assert run.chosen_step([]) is None


def test_a_prompt_without_room_is_counted_not_a_crash(run, tmp_path):
    long = Problem("long", "word " * 300, "1", "test")
    one = Evaluator(
        {"s": [long, *find_problems("organism:numbers")[:2]]},
        get_template("plain"),
        Protocol(sampling=Sampling(2), max_new_tokens=48),
        EvaluationFolder(tmp_path),
    )
    score = evaluate_checkpoints(checkpoints_of(run)[:1], one).first.suites["s"]
    assert (score.prompt_too_long, score.n) == (1, 3)


def test_history_has_a_value_a_visit(run):
    history = accuracy_history(run)
    assert len(history) == 6
    assert sum(len(values) for values in history.values()) == 4 * 4  # every group a visit: 4 steps of 4 groups


def test_a_card_says_how_a_model_was_made_and_what_it_scores(run, tmp_path):
    scores = evaluate_checkpoints(checkpoints_of(run), evaluator(run.path / "eval"))
    folder = prepare_upload(card.chosen(run.path / "checkpoints" / "step_000004"), tmp_path / "out")
    text = (folder / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    score = scores.checkpoints[4].suites["organism:numbers"]
    assert head["model-index"][0]["results"][0]["metrics"] == [{"type": "avg@3", "value": round(score.accuracy, 2)}]
    assert "{:.1f} ({:.1f} to {:.1f})".format(score.accuracy, *score.interval) in text
    assert "base_model" not in head  # a folder of ours has no name on the hub
    assert not (folder / "trainer").exists()
    assert load_policy(ModelSection(path=str(folder), device="cpu")).model is not None
    assert card.chosen(run.path).step == run.chosen_step()
    with pytest.raises(OneshotError, match="not empty"):
        prepare_upload(card.chosen(run.path), folder)
    with pytest.raises(OneshotError, match="neither a run"):
        card.chosen(tmp_path)


def test_push_uploads_the_folder_and_says_what_the_hub_refuses(tmp_path, monkeypatch):
    calls = []

    class Hub:
        def create_repo(self, name, private, exist_ok):
            calls.append((name, private))
            if name == "bad":
                raise OSError("no such network\nand more")

        def upload_folder(self, repo_id, folder_path, commit_message):
            calls.append((repo_id, folder_path))
            return f"https://huggingface.co/{repo_id}"

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    assert card.push(tmp_path, "me/model", private=True) == "https://huggingface.co/me/model"
    assert calls == [("me/model", True), ("me/model", str(tmp_path))]
    with pytest.raises(OneshotError, match="no such network") as refused:
        card.push(tmp_path, "bad", private=False)
    assert "and more" not in str(refused.value)


@pytest.mark.slow  # half a minute to begin a cluster: `make test-cluster` runs it
def test_a_ray_cluster_finds_what_one_process_does(tmp_path):
    """The same transcripts to the byte and the same scores, from a cluster that is begun for it here."""
    pytest.importorskip("ray")
    asked = ("--suite", "organism:hard", "--suite", "organism:long", "--limit", 6, "--samples", 2, "--quiet")
    for name, how in (("one", ("--workers", 1)), ("ray", ("--ray", "local"))):
        code, _, err = oneshot("eval", "tiny", *asked, *how, "--out", tmp_path / name)
        assert code == 0, err
    one, other = tmp_path / "one", tmp_path / "ray"
    transcripts = sorted(path.name for path in (one / "transcripts").iterdir())
    assert len(transcripts) == 2
    assert sorted(path.name for path in (other / "transcripts").iterdir()) == transcripts
    for name in transcripts:
        assert (one / "transcripts" / name).read_bytes() == (other / "transcripts" / name).read_bytes()
    assert (one / "scores.json").read_bytes() == (other / "scores.json").read_bytes()


def test_a_ray_cluster_that_is_not_there(tmp_path):
    asked = ("eval", "tiny", "--suite", "organism:hard", "--limit", 1, "--samples", 1, "--out", tmp_path / "e")
    assert any(said in refused(*asked, "--ray", "127.0.0.1:1") for said in ("no Ray cluster there", "not installed"))
    assert "both given" in refused(*asked, "--ray", "local", "--workers", 2)
