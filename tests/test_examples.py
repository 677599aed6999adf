"""The examples run as their README says."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from command import oneshot

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    "args",
    [
        ["train", "grpo", "--model", "tiny", "--reward", "short_answers:short", "--steps", 1],
        ["train", "own_method.yaml", "--model", "tiny", "--steps", 1],
        ["train", "grpo", "--model", "tiny", "--problems", "problems.jsonl", "--steps", 1],
    ],
)
def test_commands(tmp_path, monkeypatch, args):
    monkeypatch.chdir(EXAMPLES)
    assert oneshot(*args, "--out", tmp_path / "run", "--quiet")[0] == 0


def test_a_model_of_ones_own(tmp_path, capsys):
    runpy.run_path(str(EXAMPLES / "own_model.py"))["main"](tmp_path)
    assert (tmp_path / "run" / "report.html").exists()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["values"]["algorithm"]["reward"]
