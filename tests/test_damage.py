"""A file of a run that was damaged or edited is one line naming it, not a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command import oneshot, refused
from oneshot_rlvr.files import read_rows, write_rows
from oneshot_rlvr.sealing import KEY
from runs import tiny_run


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    run = tiny_run(tmp_path_factory.mktemp("whole") / "run", "run.steps=2")
    few = ["--suite", "organism:numbers", "--limit", 4, "--samples", 2, "--max-new-tokens", 8, "--workers", 1]
    assert oneshot("eval", run.path, *few, "--quiet")[0] == 0
    return run.path


def edited(path: Path, place: tuple[str | int, ...], value: Any, seal: bool = False) -> None:
    """Change one value of a file; of a file of rows, in the row that the place begins with. Its seal may stay."""
    rows = path.suffix in (".zst", ".jsonl")
    if path.suffix == ".zst":
        whole: Any = read_rows(path, "")
    else:
        lines = path.read_text().splitlines() if rows else [path.read_text()]
        whole = [json.loads(line) for line in lines] if rows else json.loads(lines[0])
    if not seal:
        whole = _without_seal(whole)
    part = whole
    for key in place[:-1]:
        part = part[key]
    if value is KeyError:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    if path.suffix == ".zst":
        write_rows(path, whole)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in whole) if rows else json.dumps(whole))


def _without_seal(whole: Any) -> Any:
    if isinstance(whole, dict):
        return {key: value for key, value in whole.items() if key != KEY}
    return [_without_seal(row) for row in whole if not isinstance(row, dict) or set(row) != {KEY}]


TRANSCRIPTS = "eval/transcripts/*.zst"


@pytest.mark.parametrize(
    ("command", "file", "place", "value"),
    [
        ("eval regrade", TRANSCRIPTS, (0, "samples", 1, "text"), [[]]),
        ("eval regrade", TRANSCRIPTS, (0, "samples", 0), {}),
        ("eval regrade", TRANSCRIPTS, (0, "samples", 0, "finish"), "x"),
        ("eval regrade", TRANSCRIPTS, (0, "greedy"), True),
        ("eval regrade", TRANSCRIPTS, (0, "problem_id"), "another"),
        ("eval regrade", TRANSCRIPTS, (0,), KeyError),
        ("eval regrade", "eval/index.json", ("base", "transcripts", "organism:numbers"), None),
        ("eval regrade", "eval/index.json", ("base", "transcripts", "organism:numbers"), KeyError),
        ("eval regrade", "eval/index.json", ("base", "template"), KeyError),
        ("eval regrade", "eval/protocol.json", ("protocol", "fallback"), "no"),
        ("eval regrade", "eval/protocol.json", ("suites", "organism:numbers"), []),
        ("report", "eval/summary.json", ("chosen", "average"), "0"),
        ("report", "eval/scores.json", ("base", "average", "avg@2"), None),
        ("report", "eval/examples.json", ("examples", 0, "before"), []),
        ("report", "metrics.jsonl", (1, "response/boxed_fraction"), []),
        ("report", "metrics.jsonl", (0, "step"), KeyError),
        ("report", "rollouts/step_000002.jsonl.zst", (0, "text"), 1e308),
        ("report", "config.json", ("values", "batch"), []),
    ],
)
def test_an_edited_value_is_refused(evaluated, tmp_path, command, file, place, value):
    shutil.copytree(evaluated, run := tmp_path / "run")
    path = min(run.glob(file))
    edited(path, place, value)
    said = refused(*command.split(), run, *(["--mode", "qwen-eval"] if command == "eval regrade" else []))
    assert path.name in said or "transcripts" in said


@pytest.mark.parametrize(
    ("command", "file", "place", "value"),
    [
        ("eval regrade", TRANSCRIPTS, (0, "samples", 1, "text"), r"\boxed{5}"),
        ("eval regrade", "eval/index.json", ("base", "template"), "boxed"),
        ("eval regrade", "eval/protocol.json", ("protocol", "sampling", "temperature"), 0.7),
        ("eval regrade", "eval/suites/*.jsonl", (0, "answer"), "1"),
        ("eval regrade", "eval/suites/*.jsonl", (0, "level"), "9"),
        ("report", "eval/summary.json", ("gain",), 12.5),
        ("report", "eval/scores.json", ("base", "average", "avg@2"), 99.0),
        ("report", "eval/baselines.json", ("base@chat", "average", "avg@2"), 99.0),
        ("report", "eval/examples.json", ("examples", 0, "after", "text"), "7"),
        ("report", "metrics.jsonl", (1, "reward/mean"), 1.0),
        ("report", "metrics.jsonl", (1,), KeyError),
        ("report", "rollouts/step_000002.jsonl.zst", (0, "reward"), 1.0),
        ("report", "rollouts/step_000002.jsonl.zst", (0,), KeyError),
        ("report", "config.json", ("values", "batch", "group_size"), 64),
        ("report", "environment.json", ("packages", "torch"), "1.0"),
        ("train --resume", "config.json", ("values", "optimizer", "learning_rate"), 1.0),
        ("train --resume", "problems.jsonl", (0, "answer"), "1"),
    ],
)
def test_another_value_of_the_right_type_is_refused(evaluated, tmp_path, command, file, place, value):
    shutil.copytree(evaluated, run := tmp_path / "run")
    edited(path := min(run.glob(file)), place, value, seal=True)
    more = {"eval regrade": ["--mode", "qwen-eval"], "train --resume": ["--steps", 3], "report": []}[command]
    said = refused(*command.split(), run, *more)
    assert path.name in said or path.parent.name in said or str(run / "eval") in said


@pytest.mark.parametrize("file", ["eval/baselines.json", "eval/scores.json", "eval/protocol.json"])
def test_scores_that_are_missing_are_refused_and_made_again(evaluated, tmp_path, file):
    shutil.copytree(evaluated, run := tmp_path / "run")
    before = (run / file).read_bytes()
    (run / file).unlink()
    assert "missing" in refused("report", run)
    few = ["--suite", "organism:numbers", "--limit", 4, "--samples", 2, "--max-new-tokens", 8, "--workers", 1]
    assert oneshot("eval", run, *few, "--quiet")[0] == 0
    assert (run / file).read_bytes() == before


def test_the_page_says_what_it_does_without(evaluated, tmp_path, caplog):
    shutil.copytree(evaluated, run := tmp_path / "run")
    (run / "rollouts" / "step_000001.jsonl.zst").unlink()
    (run / "eval" / "examples.json").unlink()
    assert oneshot("report", run)[0] == 0
    assert "no rollouts of step_000001" in caplog.text
    assert "no eval/examples.json" in caplog.text


def test_an_edit_on_purpose_is_taken_once_its_checksum_is_deleted(evaluated, tmp_path):
    shutil.copytree(evaluated, run := tmp_path / "run")
    edited(run / "config.json", ("values", "sampling", "temperature"), 0.5, seal=True)
    assert f"delete its `{KEY}`" in refused("train", "--resume", run, "--steps", 3)
    edited(run / "config.json", ("values", "sampling", "temperature"), 0.5)
    assert oneshot("train", "--resume", run, "--steps", 3, "--quiet")[0] == 0


@pytest.mark.parametrize(
    "file", ["metrics.jsonl", "eval/index.json", "eval/protocol.json", "eval/summary.json", TRANSCRIPTS]
)
@pytest.mark.parametrize("content", [b"\xff\n", b"[" * 100_000 + b"\n", b"null\n", b"[]\n", b'{"a": 1}\n'])
def test_a_damaged_file_is_one_line(evaluated, tmp_path, file, content):
    """Whatever stands in it: a line that names the file, or a command that needs nothing of it."""
    shutil.copytree(evaluated, run := tmp_path / "run")
    path = min(run.glob(file))
    path.write_bytes(content)
    for command in (
        ["eval", "regrade", run, "--mode", "qwen-eval"],
        ["train", "--resume", run, "--steps", 3, "--quiet"],
    ):
        code, _, said = oneshot(*command)
        assert code in (0, 2)
        assert code == 0 or path.name in said or "no evaluation" in said
