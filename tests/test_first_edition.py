"""A run folder that the first edition wrote (`first_edition/make.py`) resumes, evaluates, regrades and reports."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from command import oneshot
from oneshot_rlvr.analysis import diagnose
from oneshot_rlvr.evaluation.offline import compare
from oneshot_rlvr.grading import Response
from oneshot_rlvr.runs import Run, Scores
from runs import weights

ARCHIVE = Path(__file__).parent / "first_edition" / "run.tar.xz"


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "first"
    config = folder / "run" / "config.json"
    record = json.loads(config.read_text())
    record["values"]["model"]["path"] = str(folder / "model")
    config.write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)
    return Run(folder / "run")


MEASURED = ("time/", "memory/", "tokens/")


def test_it_resumes_to_the_weights_and_metrics_that_it_had(run, monkeypatch):
    """Up to what another processor rounds otherwise: to the bit on one (`benchmarks/against_commit.py`).

    Its reward is `random`, drawn by place and text then, as it still is where rollouts have no number.
    """
    monkeypatch.setattr("oneshot_rlvr.training.source.Response", lambda *given, key: Response(*given))
    expected, old = weights(run, 3), run.metrics()
    rows = run.rollouts(3)
    shutil.rmtree(run.checkpoint_path(3))
    code, _, err = oneshot("train", "--resume", run.path, "--quiet")
    assert code == 0, err
    found = weights(run, 3)
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], rtol=1e-5, atol=1e-7) for name in expected)
    assert run.rollouts(3) == rows
    for then, now in zip(old, run.metrics(), strict=True):
        for name, value in then.items():
            assert name.startswith(MEASURED) or now[name] == pytest.approx(value, rel=1e-4, abs=1e-7), name


def test_it_is_diagnosed(run):
    assert {finding.severity for finding in diagnose(run)} <= {"error", "warning"}


def test_it_is_evaluated_without_sampling_again(run):
    folder = run.evaluation()
    before, scores = sorted(folder.path.glob("transcripts/*")), folder.scores()
    stamps = [path.stat().st_mtime_ns for path in before]
    assert sorted(scores.checkpoints) == [1, 2, 3]
    assert set(scores.baselines) == {"boxed", "chat"}
    assert scores.first.average.length > 0
    suite = ["--suite", "organism:numbers", "--limit", 4, "--samples", 2, "--workers", 1]
    code, text, err = oneshot("eval", run.path, *suite)
    assert code == 0, err
    assert f"chosen on the validation problems: step_{run.chosen_step():06d}" in text
    now = set(folder.path.glob("transcripts/*"))
    assert len(now - set(before)) == 1  # the base under `chat`, whose turn now ends a response
    assert [path.stat().st_mtime_ns for path in before] == stamps
    assert without_chat(folder.scores()) == without_chat(scores)
    scores = folder.scores()
    assert oneshot("eval", run.path, *suite, "--every", 3)[0] == 0
    assert folder.scores() == scores  # what this call did not ask for stays


def without_chat(scores: Scores) -> Scores:
    return replace(scores, baselines={name: one for name, one in scores.baselines.items() if name != "chat"})


def test_it_is_regraded_compared_reported_and_selected_from(run, tmp_path):
    assert oneshot("eval", "regrade", run.path, "--mode", "released")[0] == 0
    table = compare(f"{run.path}:base", str(run.path))
    assert table["b"]["name"].endswith(f"step_{run.chosen_step():06d}")
    assert oneshot("report", run.path)[0] == 0
    assert "step_00000" in (run.path / "findings.md").read_text()
    assert oneshot("select", run.path, "--out", tmp_path / "ranking.json")[0] == 0
    assert {row["id"] for row in json.loads((tmp_path / "ranking.json").read_text())} == {
        "pool-000",
        "pool-001",
    }
    assert oneshot("push", run.path)[0] == 0
