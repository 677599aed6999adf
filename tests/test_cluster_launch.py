"""Launches of an export: followed, taken up again, stopped, told apart; a shell script stands in for verl's."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from command import refused
from oneshot_rlvr.cluster import launch as launches
from oneshot_rlvr.cluster.folder import LAUNCH, Folder
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import write_json
from test_cluster import exported


def fake_verl(folder: Folder, body: str) -> None:
    """A `run.sh` that does what verl's does to the files."""
    (folder.path / "run.sh").write_text(f"#!/usr/bin/env bash\ncd {folder.path}\n{body}\n")


def ended(code: int) -> str:
    """That it ended with a code, which no reader sees half written."""
    return f"echo {code} > logs/.exit; mv logs/.exit logs/exit_$ONESHOT_LAUNCH"


def test_a_launch_is_followed_to_its_end(tmp_path):
    folder = exported(tmp_path / "e")
    line = json.dumps({"step": 1, "data": {"critic/rewards/mean": 0.5}})
    fake_verl(folder, f"sleep 0.2; echo '{line}' > logs/metrics_$ONESHOT_LAUNCH.jsonl; {ended(0)}")
    number = launches.launch(folder, sys.executable)
    seen = []
    assert launches.follow(folder, number, lambda step, data: seen.append((step, data))) == 0
    assert seen == [(1, {"critic/rewards/mean": 0.5})]
    again = launches.launch(folder, sys.executable)
    assert again > number and folder.launches() == [number, again]  # a log of its own
    launches.follow(folder, again, lambda step, data: None)


def test_a_running_launch_is_taken_up_and_stopped(tmp_path):
    folder = exported(tmp_path / "e")
    fake_verl(folder, "sleep 60")
    number = launches.launch(folder, sys.executable)
    assert launches.launch(folder, sys.executable) == number
    assert launches.stop(folder)
    assert launches.running_launch(folder) is None and not launches.stop(folder)
    with pytest.raises(OneshotError, match="was killed"):
        launches.follow(folder, number, lambda step, data: None)


def test_a_launch_runs_as_long_as_anything_of_it(tmp_path):
    """Its shell alone is killed; what the shell began goes on."""
    folder = exported(tmp_path / "e")
    fake_verl(folder, "sleep 60 & echo here > logs/began; wait")
    number = launches.launch(folder, sys.executable)
    while not (folder.path / "logs" / "began").exists():
        time.sleep(0.01)
    os.kill(json.loads((folder.path / "logs" / "launch.json").read_text())["pid"], signal.SIGKILL)
    assert launches.running_launch(folder) == number
    assert launches.stop(folder) and launches.running_launch(folder) is None


def test_another_process_with_its_number_is_not_it(tmp_path):
    folder = exported(tmp_path / "e")
    (folder.path / "logs").mkdir()
    about = {"launch": 5, "pid": os.getpid(), "host": platform.node(), "began": "1"}
    write_json(folder.path / "logs" / "launch.json", about)
    assert launches.running_launch(folder) is None
    write_json(folder.path / "logs" / "launch.json", about | {"host": "elsewhere"})
    with pytest.raises(OneshotError, match="begun on elsewhere"):
        launches.running_launch(folder)


@pytest.mark.parametrize("name", ["lr=1e-4, (two)", "it's", 'a "b" [c] {d}', "é ü"])
def test_run_sh_takes_any_folder(tmp_path, name):
    """A stand-in for Python says what it was called with."""
    folder = exported(tmp_path / name)
    python = tmp_path / "python"
    python.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@" > "$ONESHOT_CLUSTER/called"\nexit 3\n')
    python.chmod(0o755)
    asked = {**os.environ, "PYTHON": str(python), LAUNCH: "4"}
    done = subprocess.run(["bash", folder.path / "run.sh", "a.b=c"], env=asked)
    assert done.returncode == 3 and folder.exit_path(4).read_text() == "3\n"
    called = (folder.path / "called").read_text().splitlines()
    assert called[:2] == ["-m", "verl.trainer.main_ppo"] and called[-1] == "a.b=c"
    assert "hydra.run.dir=${oc.env:ONESHOT_CLUSTER}/logs/hydra" in called
    told = str(folder.path).replace("'", "\\'")
    assert f"+ray_kwargs.ray_init.runtime_env.env_vars.ONESHOT_CLUSTER='{told}'" in called


def test_verls_error_is_told_in_one_line(tmp_path):
    folder = exported(tmp_path / "e")
    fake_verl(
        folder,
        f"echo 'ValueError: no such thing' >> logs/console_$ONESHOT_LAUNCH.log; {ended(1)}",
    )
    said = refused("cluster", "run", folder.path, "--no-check", "--quiet")
    assert "verl ended with 1: ValueError: no such thing" in said
