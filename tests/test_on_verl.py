"""Export, run and collect on verl itself, on a CPU: `make test-cluster`. Minutes a run; skipped where verl is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from command import oneshot
from oneshot_rlvr.cluster import collect
from oneshot_rlvr.cluster import launch as launches
from oneshot_rlvr.cluster.folder import Folder
from oneshot_rlvr.commands.session import chosen_problems, start
from oneshot_rlvr.config import resolve
from oneshot_rlvr.grading import Response
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.runs import Run
from oneshot_rlvr.training.prepare import make_grader

STEPS = 30
PYTHON = os.environ.get("VERL_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(PYTHON), reason="VERL_PYTHON names no Python with verl: use `make test-cluster`"
    ),
]


def exported(out: Path, recipe: str, *sets: str) -> Folder:
    asked = [part for one in (f"run.validate_every={STEPS}", *sets) for part in ("--set", one)]
    code, _, err = oneshot("cluster", "export", recipe, "--gpus", 0, "--steps", STEPS, *asked, "--out", out)
    assert code == 0, err
    return Folder.at(out)


def ran(folder: Folder) -> Run:
    code, _, err = oneshot("cluster", "run", folder.path, "--python", PYTHON, "--quiet")
    assert code == 0, err
    assert oneshot("cluster", "collect", folder.path)[0] == 0
    return Run.at(folder.path / "run")


def regraded(folder: Folder) -> tuple[int, int]:
    """Of the rollouts that verl dumped: how many have the reward that we give them, and how many there are."""
    equal = total = 0
    with make_grader(folder.config) as grader:
        for path in folder.path.glob("rollouts/*.jsonl"):
            for row in map(json.loads, path.read_text().splitlines()):
                problem = Problem("row", "", row["gts"], "organism")
                (grade,) = grader.grade(problem, [Response(row["output"], "stop", 1)])
                total, equal = total + 1, equal + (grade.reward == row["score"])
    return equal, total


@pytest.fixture(scope="module", params=["grpo", "ppo"])
def on_verl(request, tmp_path_factory) -> Folder:
    """A run that was killed on its way, gone on with, and collected; PPO's critic gets a faster start."""
    folder = exported(tmp_path_factory.mktemp("verl") / request.param, request.param)
    number = launches.launch(folder, PYTHON)
    while launches.running_launch(folder) == number and 12 not in dict(launches.logged(folder)):
        time.sleep(1)
    os.killpg(json.loads((folder.path / "logs" / "launch.json").read_text())["pid"], signal.SIGKILL)
    time.sleep(5)
    assert max(dict(launches.logged(folder))) < STEPS
    ran(folder)
    assert len(folder.launches()) == 2
    return folder


def test_reward_rises_over_a_kill(on_verl):
    rewards = [line["reward/mean"] for line in Run.at(on_verl.path / "run").metrics()]
    assert len(rewards) == STEPS
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.15


def test_verls_rewards_are_our_regrade_of_its_dumps(on_verl):
    equal, total = regraded(on_verl)
    config = on_verl.config
    assert equal == total >= STEPS * config.batch.groups_per_step * config.batch.group_size
    logged = dict(launches.logged(on_verl))
    for line in Run.at(on_verl.path / "run").metrics():
        assert line["reward/mean"] == pytest.approx(logged[line["step"]]["critic/rewards/mean"], abs=1e-7)


def test_every_command_takes_the_collected_run(on_verl, tmp_path):
    run = Run.at(on_verl.path / "run")
    assert run.state == "finished" and run.steps() == [10, 20, 30]
    assert oneshot("eval", run.path, "--limit", 8, "--samples", 1, "--quiet")[0] == 0
    assert oneshot("report", run.path)[0] == 0
    assert "<html" in (run.path / "report.html").read_text()
    assert oneshot("doctor", run.path)[0] == 0
    assert collect(on_verl, run) == STEPS


def test_from_the_same_weights_it_is_the_local_loop(on_verl, tmp_path):
    """The same rollouts, loss and gradient norm at every step that both made."""
    recipe = on_verl.path.name
    config, sources = resolve(recipe, "organism", ["run.steps=3", "run.validate_every=0"])
    start(Run(tmp_path / "local"), config, sources, chosen_problems(config))
    there = Run.at(on_verl.path / "run").metrics()
    for ours, theirs in zip(Run(tmp_path / "local").metrics(), there, strict=False):
        assert theirs["reward/mean"] == ours["reward/mean"]
        assert theirs["response/length_mean"] == ours["response/length_mean"]
        for name in ("policy/loss", "policy/grad_norm"):
            assert theirs[name] == pytest.approx(ours[name], rel=1e-4, abs=1e-6), name
