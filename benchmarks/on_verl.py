"""GRPO and PPO on verl itself, on a CPU: killed, gone on with, collected, regraded, and held against the local loop.

    python benchmarks/on_verl.py --python VENV/bin/python --json results/on_verl.json

VENV is verl's environment (`make .venv-verl/.installed`). About ten minutes a recipe on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from oneshot_rlvr.cluster import Export, collect, export
from oneshot_rlvr.cluster import launch as launches
from oneshot_rlvr.cluster.folder import Folder
from oneshot_rlvr.cluster.preflight import preflight
from oneshot_rlvr.commands.session import chosen_problems, finish
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import read_jsonl, write_json
from oneshot_rlvr.grading import Response
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.runs import Run
from oneshot_rlvr.runs.environment import environment
from oneshot_rlvr.training.prepare import make_grader

RECIPES, STEPS, KILL_AT = ("grpo", "ppo"), 30, 12


def asked(recipe: str, steps: int) -> Export:
    """One example, 128 rollouts a step, validated at the end."""
    config, sources = resolve(recipe, "organism", [f"run.validate_every={steps}"], {"run.steps": steps})
    return Export(config, sources, chosen_problems(config), gpus=0)


def run_on_verl(recipe: str, work: Path, python: str, steps: int = STEPS) -> Folder:
    """Export and run it; the first launch is killed on its way, with all that it began."""
    path = work / f"verl-{recipe}"
    folder = Folder(path) if path.exists() else export(asked(recipe, steps), path)
    if troubles := preflight(folder, python):
        raise OneshotError(troubles[0], where=path)
    if not folder.launches():
        number = launches.launch(folder, python)
        while launches.running_launch(folder) == number and KILL_AT not in folder.logged():
            time.sleep(1)
        os.killpg(json.loads((path / "logs" / "launch.json").read_text())["pid"], signal.SIGKILL)
        while launches.running_launch(folder) is not None:
            time.sleep(0.5)
    while max(folder.logged(), default=0) < steps:
        number = launches.launch(folder, python)
        if code := launches.follow(folder, number, lambda step, data: print(recipe, step, flush=True)):
            raise OneshotError(f"verl ended with {code}", where=folder.console_path(number))
    return folder


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


def same_rollouts(there: Run, here: Run) -> tuple[int, int]:
    """In how many steps two runs sampled the same texts, in whatever order, and how many steps there are."""
    texts = (
        [sorted(row["text"] for row in run.rollouts(step)) for step in run.rollout_steps()] for run in (there, here)
    )
    pairs = list(zip(*texts, strict=True))
    return sum(a == b for a, b in pairs), len(pairs)


def steps_of_launches(folder: Folder) -> list[list[int]]:
    """The first and the last step that each launch logged."""
    logged = ([int(line["step"]) for line in read_jsonl(folder.metrics_path(one))] for one in folder.launches())
    return [[min(steps), max(steps)] for steps in logged]


def study(recipe: str, work: Path, python: str, steps: int = STEPS) -> dict[str, Any]:
    """A run on verl, collected, beside the local loop's: what is equal, and how far off the rest is."""
    folder = run_on_verl(recipe, work, python, steps)
    there, here = Run(folder.path / "run"), Run(work / f"local-{recipe}")
    collect(folder, there)
    what = asked(recipe, steps)
    finish(here, what.config, what.sources, what.problems)
    theirs, ours = there.metrics(), here.metrics()
    pairs = list(zip(theirs, ours, strict=True))
    equal, total = regraded(folder)
    rewards = [line["reward/mean"] for line in theirs]
    logged = [data["critic/rewards/mean"] for _, data in folder.logged().values()]
    return {
        "exported_at": folder.about["environment"]["commit"],
        "steps": len(theirs),
        "launches": steps_of_launches(folder),
        "reward_first_5": sum(rewards[:5]) / 5,
        "reward_last_5": sum(rewards[-5:]) / 5,
        "seconds_a_step": sum(data["timing_s/step"] for _, data in folder.logged().values()) / len(theirs),
        "seconds_a_step_here": sum(sum(line[name] for name in line if name.startswith("time/")) for line in ours)
        / len(ours),
        "rewards_equal_our_regrade_of_verls_dumps": [equal, total],
        "logged_reward_off_by_at_most": max(abs(a - b) for a, b in zip(rewards, logged, strict=True)),
        "steps_with_the_local_loops_rollouts": same_rollouts(there, here),
        "steps_with_the_local_loops_rewards": sum(a["reward/mean"] == b["reward/mean"] for a, b in pairs),
        "loss_off_by_at_most": max(abs(a["policy/loss"] - b["policy/loss"]) for a, b in pairs),
        "grad_norm_off_by_a_share_of_at_most": max(
            abs(a["policy/grad_norm"] / b["policy/grad_norm"] - 1) for a, b in pairs
        ),
        "validation": [
            [line[name] for name in line if name.startswith("validation/")] for line in (theirs[-1], ours[-1])
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="of verl's environment")
    parser.add_argument("--work", type=Path, help="a folder to go on in; by default one that is thrown away")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as thrown:
        work = given.work or Path(thrown)
        found = {recipe: study(recipe, work, given.python) for recipe in RECIPES}
    print(json.dumps(found, indent=1))
    if given.json:
        write_json(given.json, {"verl": "0.9.1", **found, "environment": environment("cpu", 1)})


if __name__ == "__main__":
    main()
