"""What attacks found: kills, orphans, absurd settings, mistyped names."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import children
from command import oneshot, refused
from oneshot_rlvr.config import resolve
from oneshot_rlvr.config.sections import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import recover, remove_folder, sweep, write_folder_atomically
from oneshot_rlvr.organism import pretrain as pretraining
from oneshot_rlvr.runs import Run
from runs import tiny_run


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def numbers() -> list[str]:
    """Every key that holds a number."""
    values = {
        f"{section}.{key}": value
        for section, part in Config().model_dump().items()
        if isinstance(part, dict)
        for key, value in part.items()
    }
    return [key for key, value in values.items() if isinstance(value, int | float) and not isinstance(value, bool)]


@pytest.mark.parametrize("value", ["1e308", "-1e308", "1" * 30, "-1", "1" * 5000, ".inf", ".nan", "x", "[]", "{a: 1}"])
def test_every_number_has_bounds(value):
    """1e308 and -1e308 lie outside every key's bounds; the others are refused or used, and never a traceback."""
    for key in numbers():
        try:
            resolve("grpo", "organism", [f"{key}={value}"])
        except OneshotError as error:
            assert "\n" not in str(error)
        else:
            assert value == "-1", key  # an entropy coefficient may be negative


@pytest.mark.parametrize(
    "setting",
    [
        "data.copies=!!python/object:os.system x",
        "data.copies=2024-01-01",
        "data.copies=" + "[" * 5000,
        "run.seed=!!binary aGk=",
        "data.only=!!set {a, b}",
        "model.device=meta",
        "model.device=mps",
        "model.device=cuda:99999",
        "algorithm.reward=overlong(cache='x')",
        "algorithm.reward=random(p=[1])",
        "run.loggers=tensorbord",
        "model.path=" + "x" * 3000,
    ],
)
def test_odd_settings_are_one_line(setting):
    assert refused("train", "--model", "tiny", "--steps", 1, "--set", setting, "--quiet")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "/dev/zero", "\udcff.csv", "~/nothing/x.jsonl"])
def test_odd_file_names_are_one_line(name):
    for option in ("--problems", "--model"):
        assert refused("train", option, name, "--steps", 1, "--quiet")


def test_a_single_tracker_need_not_be_a_list():
    assert resolve("grpo", "tiny", ["run.loggers=tensorboard"])[0].run.loggers == ("tensorboard",)


def test_a_mistyped_folder_is_refused_at_once_with_the_nearest(tmp_path):
    (tmp_path / "runs" / "grpo-tiny-1").mkdir(parents=True)
    started = time.monotonic()
    (tmp_path / "fresh").mkdir()
    with contextlib.chdir(tmp_path / "fresh"):  # where there is no runs/, it is no name on the hub either
        assert "no such model file or folder" in refused("eval", "runs/grpo-tiny-2")
    for name in ("runs/grpo-tiny-2", "./runs/grpo-tiny-2", str(tmp_path / "runs" / "grpo-tiny-2")):
        assert "Did you mean 'grpo-tiny-1'" in refused("eval", name)
        assert "Did you mean 'grpo-tiny-1'" in refused("train", "--model", name)
    assert "Did you mean 'grpo-tiny-1'" in refused("train", "--resume", "runs/grpo-tiny-2")
    assert time.monotonic() - started < 20
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["grpo-tiny-1"]
    assert resolve("grpo", "Qwen/Qwen2.5-Math-1.5B")[0].model.path == "Qwen/Qwen2.5-Math-1.5B"


def test_wandb_without_a_login_is_found_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(api=SimpleNamespace(api_key=None)))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    said = refused("train", "--model", "tiny", "--out", tmp_path / "run", "--set", "run.loggers=wandb")
    assert "wandb login" in said
    assert not (tmp_path / "run").exists()


def test_loggers_can_change_when_a_run_is_resumed_and_a_finished_run_says_so(tmp_path):
    pytest.importorskip("tensorboard", reason="the tensorboard extra is not installed")
    run = tiny_run(tmp_path / "run", "run.steps=2", "run.save_every=1")
    assert "is finished: 2 steps" in oneshot("train", "--resume", run.path)[1]
    command = ["train", "--resume", run.path, "--steps", 3, "--set"]
    assert "keeps its configuration" in refused(*command, "run.seed=2")
    assert "run.loggers" in refused(*command, "run.loggers=tensorbord")
    assert oneshot(*command, "run.loggers=[tensorboard]")[0] == 0
    assert run.config.run.loggers == ("tensorboard",)
    assert run.sources["run.loggers"] == "--resume"
    assert list((run.path / "tensorboard").glob("events.*"))


def test_strays_of_a_kill_are_swept_when_a_run_goes_on(tmp_path):
    run = tiny_run(tmp_path / "run", "run.steps=2", "run.save_every=1")
    strays = [run.path / ".config.json.tmp", run.path / "rollouts" / ".step_000001.jsonl.zst.tmp"]
    strays += [run.checkpoint_path(1) / ".trainer.tmp" / "x", run.path / "checkpoints" / ".step_000002.tmp" / "x"]
    for stray in strays:
        stray.parent.mkdir(exist_ok=True)
        stray.write_text("half")
    assert oneshot("train", "--resume", run.path, "--steps", 3)[0] == 0
    assert not list(run.path.rglob("*.tmp"))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("call", range(1, 12))
def test_a_folder_replaced_is_there_before_and_after_any_kill(tmp_path, monkeypatch, call):
    """A kill at the n-th rename or removal leaves the old folder or the new one, and `recover` finds it."""
    folder = tmp_path / "kept"
    write_folder_atomically(folder, lambda path: (path / "a").write_text("old") and None)
    calls = []

    def dying(function):
        def wrapped(*args, **kwargs):
            calls.append(function)
            if len(calls) >= call:
                raise Killed
            return function(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying(Path.replace))
        patch.setattr("shutil.rmtree", dying(shutil.rmtree))
        with contextlib.suppress(Killed):
            write_folder_atomically(folder, lambda path: (path / "a").write_text("new") and None)
    recover(folder)
    assert (folder / "a").read_text() in ("old", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_an_interrupted_end_of_pretraining_can_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "SAVE_EVERY", 2)
    expected = pretraining.pretrain(tmp_path / "whole", "tiny", steps=3)

    def killed(folder):
        folder.with_name(f".{folder.name}.old.tmp").mkdir()  # renamed away, not yet removed
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(pretraining, "remove_folder", killed)
        pretraining.pretrain(tmp_path / "cut", "tiny", steps=3)
    pretraining.pretrain(tmp_path / "cut", "tiny", steps=3)
    read = [(folder / "model.safetensors").read_bytes() for folder in (expected, tmp_path / "cut")]
    assert read[0] == read[1]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "whole") == ["cut"]


def test_remove_and_sweep_touch_nothing_else(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / ".b.tmp").mkdir()
    (tmp_path / ".c.tmp").write_text("")
    (tmp_path / "d.tmp").write_text("mine")
    remove_folder(tmp_path / "nothing")
    sweep(tmp_path, tmp_path / "nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "d.tmp"]


@pytest.fixture(scope="module")
def short_run(tmp_path_factory) -> Run:
    return tiny_run(tmp_path_factory.mktemp("short") / "run", "run.steps=2", "run.save_every=1")


@pytest.mark.skipif(sys.platform != "linux", reason="children are bound to their parent on Linux")
@pytest.mark.parametrize(
    ("kind", "processes"), [pytest.param("eval", 1, marks=pytest.mark.slow), ("eval", 2), ("train", 1)]
)
def test_no_child_outlives_a_command_that_is_killed(short_run, tmp_path, kind, processes):
    """SIGKILL of the command once so many processes are there: of `eval` its two workers."""
    suite = ["--suite", "organism:numbers", "--suite", "organism:hard", "--samples", "8", "--workers", "2"]
    (tmp_path / "p.jsonl").write_text('{"question": "q", "answer": "x^2 + 1"}\n')
    commands = {
        "eval": ["eval", str(short_run.path), *suite, "--quiet"],
        "train": ["train", "--model", "tiny", "--problems", "p.jsonl", "--steps", "500", "--reward", "accuracy"],
    }
    process = children.start(*commands[kind], "--out", tmp_path / "out")
    assert process.pid
    found: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while len(found) < processes and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
        found = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.join()
    assert len(found) >= processes
    deadline = time.monotonic() + 15
    while (alive := [child for child in found if _lives(child)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive == []


EARLY = """
import os, signal, sys
from multiprocessing import resource_tracker, util
from oneshot_rlvr.processes import BOUND

resource_tracker.ensure_running()  # a child too, and not the one that is meant
start = util.spawnv_passfds

def then_die(*arguments):
    print(start(*arguments), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

util.spawnv_passfds = then_die
BOUND.Process(target=print).start()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are bound to their parent on Linux")
def test_a_child_whose_parent_dies_before_it_has_read_anything_ends_without_a_word():
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert "Traceback" not in done.stderr  # the pipe is at its end, so whatever held it is gone
        child = int(done.stdout)
        assert not (psutil.pid_exists(child) and _lives(psutil.Process(child)))


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_what_a_kill_at_the_very_end_left_is_dropped_when_asked_to_go_on(tmp_path):
    run = tiny_run(tmp_path / "run", "run.steps=3", "run.save_every=1")
    shutil.copytree(run.checkpoint_path(3) / "trainer", run.checkpoint_path(1) / "trainer")
    code, said, _ = oneshot("train", "--resume", run.path)
    assert code == 0
    assert "is finished" in said
    assert not (run.checkpoint_path(1) / "trainer").exists()
    assert (run.checkpoint_path(2) / "trainer").exists()


def test_an_evaluation_of_endless_samples_is_refused():
    assert "From 1 to 100,000" in refused("eval", "tiny", "--samples", 10**30, "--suite", "organism:numbers")
