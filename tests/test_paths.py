"""Paths collected from the tiny model, read, judged and applied, by the commands."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from command import oneshot, refused
from oneshot_rlvr.commands.judging import Judging
from oneshot_rlvr.problems import Problem, load_problems, to_jsonl
from oneshot_rlvr.reporting.findings import Notes
from oneshot_rlvr.reporting.selector_findings import selector_findings
from oneshot_rlvr.selectors import PathFolder, ReasoningPath
from oneshot_rlvr.selectors.evidence import beliefs
from oneshot_rlvr.selectors.saved import read_selector


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Paths of a few problems to learn from, and of others to judge."""
    root = tmp_path_factory.mktemp("paths")
    asked = ["--samples", 8, "--hidden", "--quiet", "--set", "sampling.max_new_tokens=40"]
    assert (
        oneshot("paths", "collect", "tiny", "--problems", "organism", "--limit", 40, *asked, "--out", root / "a")[0]
        == 0
    )
    asked += ["--suite", "organism:numbers", "--limit", 12]
    code, text, err = oneshot("paths", "collect", "tiny", *asked, "--out", root / "b")
    assert code == 0, err
    assert "12 problems, 8 paths each" in text
    return root


def test_a_reading_is_the_models_own(folders):
    """Log-probabilities of a text, against the plain forward pass on prompt and text; a batch reads as one alone."""
    judging = Judging("tiny")
    reader, problem = judging.reader(), Problem("p", "Compute 3 + 4.", "7", "tests")
    texts = [" So 3 + 4 = 7. The answer is 7.", " 7", "", " So 3 + 4 = 7. The answer is 7."]
    first, second, nothing, again = reader.read(problem, texts)
    assert len(nothing.logprobs_T) == 0
    assert np.array_equal(first.logprobs_T, again.logprobs_T)
    policy = judging.policy()
    prompt = policy.tokenizer("Question: Compute 3 + 4.\nAnswer:")["input_ids"]
    ids = policy.tokenizer(texts[0], add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    wanted = logits.log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids)]
    assert np.allclose(first.logprobs_T, wanted.numpy(), atol=1e-4)
    assert np.allclose(second.logprobs_T, reader.read(problem, [texts[1]])[0].logprobs_T, atol=1e-5)
    assert "".join(reader.tokens(texts[0])) == texts[0]


def test_an_interrupted_collection_goes_on(folders, tmp_path):
    whole = PathFolder(folders / "a")
    asked = ["paths", "collect", "tiny", "--problems", "organism", "--limit", 40, "--samples", 8, "--hidden", "--quiet"]
    asked += ["--set", "sampling.max_new_tokens=40", "--out", tmp_path]
    assert oneshot(*asked)[0] == 0
    (tmp_path / "shards" / "0001.jsonl.zst").unlink()  # as a kill between two shards leaves it
    before = (tmp_path / "shards" / "0000.jsonl.zst").stat().st_mtime_ns
    assert oneshot(*asked)[0] == 0
    assert (tmp_path / "shards" / "0000.jsonl.zst").stat().st_mtime_ns == before
    ours = [[p.text for p in g.paths] for g in PathFolder(tmp_path).groups()]
    assert ours == [[p.text for p in g.paths] for g in whole.groups()]
    assert "its paths have" in refused(*asked, "--temperature", 0.5)


def test_a_comparison_writes_its_table_and_page(folders, tmp_path):
    names = [x for name in ("majority", "probe(shots=1)", "hidden", "oracle") for x in ("--selector", name)]
    asked = ["selector", "compare", "--paths", folders / "b", "--train", folders / "a", "--seeds", 2, *names]
    code, _, err = oneshot(*asked, "--model", "tiny", "--out", tmp_path)
    assert code == 0, err
    table = json.loads((tmp_path / "comparison.json").read_text())
    wanted = {"auroc", "auroc_within", "ece", "brier", "best_of", "gap_closed", "interval"}
    assert all(wanted <= set(row) for row in table.values())
    assert list(table) == ["majority", "probe(shots=1)", "hidden", "oracle"]
    assert table["oracle"]["best_of"]["8"] >= table["hidden"]["best_of"]["8"]
    explained = json.loads((tmp_path / "explained.json").read_text())
    assert explained["hidden"]["highest"][0]["along"]
    assert explained["probe(shots=1)"]["weights"]
    (found,) = selector_findings(tmp_path, Notes(tmp_path))
    assert f"a right one {table['majority']['best_of']['8']:.1%}[^" in found.sentences[0]
    page = (tmp_path / "comparison.html").read_text()
    assert "Believed most" in page
    assert "Reliability" in page


def test_anyones_solutions_are_judged(folders, tmp_path):
    out = tmp_path / "selector"
    code, _, err = oneshot("selector", "train", "hidden", "--paths", folders / "a", "--model", "tiny", "--out", out)
    assert code == 0, err
    file, hostile = tmp_path / "s.jsonl", "[red]<script>alert(1)</script>\x1b[31m 9 + 9 = 1"
    solutions = [" So 3 + 4 = 7. The answer is \\boxed{7}.", hostile, ""]
    file.write_text(json.dumps({"question": "Compute 3 + 4.", "solution": solutions, "answer": "7"}) + "\n")
    code, text, err = oneshot("selector", "apply", file, "--selector", out, "--json")
    assert code == 0, err
    rows = json.loads(text)
    assert [row["right"] for row in rows] == [True, False, False]
    assert sum(row["chosen"] for row in rows) == 1
    assert all(0 <= row["probability"] <= 1 for row in rows)
    assert all(row["first_doubt"] is None for row in rows if row["probability"] >= 0.5)
    code, text, _ = oneshot("selector", "apply", file, "--selector", out)
    assert code == 0
    assert "\x1b[31m" not in text
    saved = read_selector(out)
    reader = Judging("tiny").reader()
    problem, one = Problem("p", "Compute 3 + 4.", "7", "x"), ReasoningPath(solutions[0], tokens=12)
    along = beliefs(saved.selector, saved.calibration, reader, problem, one)
    assert along[-1].end == len(solutions[0])
    whole = next(row["probability"] for row in rows if row["solution"] == 0)
    assert along[-1].probability == pytest.approx(whole, abs=1e-4)  # having read all of it


def test_a_verifier_is_trained_kept_and_asked(folders, tmp_path):
    asked = ["selector", "train", "verifier(shots=1, steps=2)", "--paths", folders / "a", "--model", "tiny"]
    code, _, err = oneshot(*asked, "--out", tmp_path / "v")
    assert code == 0, err
    assert json.loads((tmp_path / "v" / "selector.json").read_text())["fitted"]["verifier"]["scale"] == "signed"
    code, text, err = oneshot("selector", "apply", folders / "b", "--selector", tmp_path / "v", "--json")
    assert code == 0, err
    assert len(json.loads(text)) == 12 * 8
    (tmp_path / "v" / "selector.json").write_text("{}")
    assert "not a selector that was kept" in refused("selector", "apply", folders / "b", "--selector", tmp_path / "v")


def test_a_selectors_belief_is_a_reward(folders, tmp_path):
    assert (
        oneshot("selector", "train", "hidden", "--paths", folders / "a", "--model", "tiny", "--out", tmp_path / "s")[0]
        == 0
    )
    reward = f"selector(folder='{tmp_path / 's'}')"
    quick = ["--set", "run.steps=2", "--set", "batch.groups_per_step=2", "--set", "run.validate_every=0"]
    code, _, err = oneshot("train", "grpo", "--model", "tiny", "--reward", reward, *quick, "--out", tmp_path / "run")
    assert code == 0, err
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["reward/mean"] < 1 for line in metrics)
    bad = refused(
        "train", "grpo", "--model", "tiny", "--reward", "selector(folder='nowhere')", *quick, "--out", tmp_path / "x"
    )
    assert "oneshot selector train" in bad


def test_ways_of_asking(tmp_path):
    asked = ["paths", "prompts", "tiny", "--suite", "organism:numbers", "--limit", 4, "--samples", 2, "--quiet"]
    asked += [
        "--temperatures",
        "0.5,1.0",
        "--shots",
        "0,2",
        "--examples",
        "organism",
        "--set",
        "sampling.max_new_tokens=24",
    ]
    code, _, err = oneshot(*asked, "--out", tmp_path)
    assert code == 0, err
    rows = json.loads((tmp_path / "prompts.json").read_text())["rows"]
    assert [(row["temperature"], row["shots"]) for row in rows] == [(0.5, 0), (0.5, 2), (1.0, 0), (1.0, 2)]
    assert all(row["accuracy"] <= row["any"] for row in rows)
    assert (tmp_path / "prompts.html").exists()
    assert "no list of numbers" in refused(*asked, "--temperatures", "hot", "--out", tmp_path / "b")
    assert "are needed" in refused(*asked, "--shots", "999", "--out", tmp_path / "b")


def test_the_loop_closes(folders, tmp_path):
    """Every way runs, finds what it made when asked again, and imitates answers that the selector picked, not golds."""
    mixed = [g.problem for g in PathFolder(folders / "a").groups() if g.mixed]
    known, pool = tmp_path / "known.jsonl", tmp_path / "pool.jsonl"
    known.write_text(to_jsonl(mixed[:1]))
    pool.write_text(to_jsonl([replace(problem, answer="999") for problem in mixed[1:7]]))
    asked = ["selector", "loop", "--model", "tiny", "--labelled", known, "--pool", pool, "--out", tmp_path / "loop"]
    asked += ["--suites", "organism:numbers", "--limit", 4, "--samples", 2, "--steps", 2, "--rounds", 2, "--paths", 32]
    asked += ["--set", "batch.groups_per_step=2", "--set", "sampling.max_new_tokens=40"]
    code, _, err = oneshot(*asked)
    assert code == 0, err
    file = tmp_path / "loop" / "closed.json"
    found = json.loads(file.read_text())["ways"]
    assert list(found) == ["base", "one_shot", "reward", "expert", "turns"]
    assert all(0 <= row[key] <= 1 for row in found.values() for key in ("average", "majority", "best_of"))
    for chosen in (tmp_path / "loop").glob("expert_*.jsonl"):
        assert all(problem.answer != "999" for problem in load_problems(chosen))
    before = file.read_text()
    assert oneshot(*asked)[0] == 0
    assert file.read_text() == before
    code, _, err = oneshot("report", tmp_path / "loop" / "one_shot", "--selectors", tmp_path / "loop")
    assert code == 0, err
    text = (tmp_path / "loop" / "one_shot" / "findings.md").read_text()
    average = json.loads(before)["ways"]["base"]["average"]
    assert f"The base is right {average:.1%}[^" in text
    assert "closed.json: ways › base › average as .1%" in text
    assert "The closed loop" in (tmp_path / "loop" / "one_shot" / "script.md").read_text()
    assert "no results of path selectors" in refused("report", tmp_path / "loop" / "one_shot", "--selectors", tmp_path)
