"""Time and peak memory of a step against the number of rollouts, their length, and the number of different prompts.

    python benchmarks/scaling.py --json results/scaling.json

A Qwen2 of 4 layers, hidden 128 and 4096 tokens with random weights, prompt 100, one thread, micro-batches of 512;
every point in a process of its own. The responses of an update are random tokens, so that nothing but the prompt is in
common; sampled responses have exactly the length asked for. The law is a least-squares fit of
seconds = a + b tokens + c sum(length^2), with its worst relative error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learning import Learning, experience_of
from oneshot_rlvr.config import resolve
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.rollout import LockstepSampler, Prompt, SamplingParams
from outcome import write
from shapes import peak_memory, small, write_model

BASE = {"rollouts": 256, "length": 64, "prompts": 1}
POINTS = {
    "rollouts": [64, 128, 256, 512, 1024, 2048, 4096],
    "length": [16, 32, 64, 128, 256],
    "prompts": [1, 4, 16, 64, 256],
}


def measure(folder: Path, rollouts: int, length: int, prompts: int) -> dict[str, float]:
    """Seconds and additional peak memory in MiB of sampling and of an update."""
    settings = [f"batch.groups_per_step={rollouts}", "batch.group_size=1", "algorithm.kl_coefficient=0"]
    config, _ = resolve("grpo", str(folder), [*settings, "model.threads=1", "model.device=cpu"])
    policy = load_policy(config.model)
    learning = Learning(policy, config)
    random = np.random.default_rng(0)
    asked = [Prompt(f"p{p}", tuple(random.integers(300, 4000, 100).tolist()), p) for p in range(prompts)]
    sampler = LockstepSampler(policy)
    found: dict[str, float] = {}

    def sample() -> None:
        sampler.sample(asked, rollouts // prompts, SamplingParams(max_new_tokens=length))

    responses = [tuple(random.integers(300, 4000, length).tolist()) for _ in range(rollouts)]
    rows = [i % prompts for i in range(rollouts)]
    advantages = torch.from_numpy(random.normal(size=rollouts))
    seen = experience_of([p.ids for p in asked], rows, responses, advantages)

    def learn() -> None:
        learning.update(seen)

    for name, work in (("sample", sample), ("update", learn)):
        started = time.perf_counter()
        found[f"{name}_mib"] = peak_memory(work)
        found[f"{name}_s"] = time.perf_counter() - started
    return found


def law(points: list[dict[str, float]], name: str) -> dict[str, Any]:
    """A fit of seconds to tokens and squared lengths."""
    table = np.array([[1.0, p["rollouts"] * p["length"], p["rollouts"] * p["length"] ** 2] for p in points])
    seconds = np.array([p[f"{name}_s"] for p in points])
    weights = 1 / seconds  # relative errors
    fit, *_ = np.linalg.lstsq(table * weights[:, None], seconds * weights, rcond=None)
    error = np.abs(table @ fit / seconds - 1).max()
    return {"a_s": fit[0], "b_us_a_token": 1e6 * fit[1], "c_ns_a_squared_length": 1e9 * fit[2], "worst_error": error}


def main() -> None:
    """Run every point in a process of its own, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--only", nargs=4, metavar=("FOLDER", "ROLLOUTS", "LENGTH", "PROMPTS"), help="one point")
    parser.add_argument("--most", type=int, default=4096, help="leave out points with more rollouts")
    options = parser.parse_args()
    if options.only:
        folder, *sizes = options.only
        print(json.dumps(measure(Path(folder), *map(int, sizes))))
        return
    points: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        write_model(Path(scratch), small(), 0.0)
        for axis, values in POINTS.items():
            points[axis] = []
            for value in values:
                point = BASE | {axis: value}
                if point["rollouts"] > options.most:
                    continue
                command = [sys.executable, __file__, "--only", scratch, *(str(v) for v in point.values())]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                points[axis].append(point | json.loads(output.splitlines()[-1]))
                print(axis, points[axis][-1], flush=True)
    one_prompt = points["rollouts"] + points["length"]
    result = {
        "points": points,
        "law": {name: law(one_prompt, name) for name in ("sample", "update")},
        "threads": 1,
    }
    write(result, options.json)


if __name__ == "__main__":
    main()
