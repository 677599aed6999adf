"""What a step of PPO costs against one of GRPO, on the organism: a critic of the policy's size is scored and trained.

    python benchmarks/ppo_step.py --json results/ppo_step.json

Both train side by side in one process on the same example, a step of each in turn, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from oneshot_rlvr.commands.session import chosen_problems
from oneshot_rlvr.config import resolve
from oneshot_rlvr.runs import Run
from oneshot_rlvr.training import Trainer, prepare
from oneshot_rlvr.training.loop import train_step
from outcome import write


def trainer(recipe: str, folder: Path, steps: int) -> Trainer:
    """Ready for its first step."""
    config, sources = resolve(recipe, "organism", ["run.validate_every=0"], {"run.steps": steps})
    run = Run(folder / recipe)
    with run.locked():
        run.write_config(config, sources)
    return prepare(config, run, chosen_problems(config))


def main() -> None:
    """Time the steps in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {"grpo": [], "ppo": []}
    with tempfile.TemporaryDirectory() as folder:
        trainers = {name: trainer(name, Path(folder), options.steps) for name in seconds}
        for step in range(1, options.steps + 1):
            for name, one in trainers.items():
                started = time.perf_counter()
                train_step(one, step)
                seconds[name].append(time.perf_counter() - started)
        for one in trainers.values():
            one.source.grader.close()
    pairs = [ours / theirs for ours, theirs in zip(seconds["ppo"][2:], seconds["grpo"][2:], strict=True)]
    figures = {
        "command": f"python benchmarks/ppo_step.py --steps {options.steps}",
        "seconds": {name: round(statistics.median(values[2:]), 4) for name, values in seconds.items()},
        "ratio": round(sum(seconds["ppo"][2:]) / sum(seconds["grpo"][2:]), 3),
        "median_ratio": round(statistics.median(pairs), 3),
    }
    write(figures, options.json)


if __name__ == "__main__":
    main()
