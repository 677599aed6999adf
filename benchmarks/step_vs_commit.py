"""Seconds a step and peak memory of this working tree beside another commit, step by step in turn.

    python benchmarks/step_vs_commit.py 5c4db10 --json results/step_vs_first_edition.json

Each side is a process of its own with its own package; one waits while the other works. Both do the same steps: the
same seed, and a learning rate that moves nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from outcome import write
from shapes import prompt_text, twenty_million, write_model

HERE = Path(__file__).parents[1]
WARM_UP = 2
# Runs under either package, whose modules have other names.
WORKER = """
import json, sys, time
from pathlib import Path
from oneshot_rlvr.config import resolve
from oneshot_rlvr.problems import Problem, find_problems
try:
    from oneshot_rlvr.runs import Run
    from oneshot_rlvr.training import prepare, train
except ImportError:
    from oneshot_rlvr.rundir import RunDir as Run
    from oneshot_rlvr.train import prepare, train
model, settings, folder, question = json.loads(sys.argv[1])
config, _ = resolve("grpo", model, settings)
problem = Problem("p", question, "1", "bench") if question else find_problems("organism")[0]
run = Run(Path(folder))
with run.locked():
    trainer = prepare(config, run, [problem])
    for line in sys.stdin:
        step = trainer.done + 1
        own = config.run.model_copy(update={"steps": step, "save_every": 10**9, "validate_every": 0})
        trainer.config = config.model_copy(update={"run": own})
        seconds, started = [], time.perf_counter()
        train(trainer, on_step=lambda *_: seconds.append(time.perf_counter() - started))
        trainer.done = step
        status = Path("/proc/self/status").read_text()  # getrusage would count what the parent held before it
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        print("STEP", json.dumps([seconds[0], peak]), flush=True)
"""


class Side:
    """A package at work."""

    def __init__(self, source: Path, asked: list[Any]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(source / "src"), "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, "-c", WORKER, json.dumps(asked)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, bufsize=1
        )
        self.seconds: list[float] = []
        self.peak_mib = 0.0

    def step(self) -> None:
        """One step."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        while not (line := self.process.stdout.readline()).startswith("STEP"):
            assert line, "the worker ended"
        seconds, self.peak_mib = json.loads(line[4:])
        self.seconds.append(seconds)

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(other: Path, asked: tuple[str, list[str], str], steps: int) -> dict[str, Any]:
    """Both sides' steps in turn, the first of each turn alternating."""
    model, settings, question = asked
    with tempfile.TemporaryDirectory() as scratch:
        sides = [
            Side(source, [model, settings, str(Path(scratch) / name), question])
            for name, source in (("then", other), ("now", HERE))
        ]
        for turn in range(WARM_UP + steps):
            for side in sides[:: 1 if turn % 2 else -1]:
                side.step()
        for side in sides:
            side.close()
    then, now = (side.seconds[WARM_UP:] for side in sides)
    ratios = sorted(b / a for a, b in zip(then, now, strict=True))
    return {
        "then_s": statistics.median(then),
        "now_s": statistics.median(now),
        "ratio_of_sums": sum(now) / sum(then),
        "ratio_median": statistics.median(ratios),
        "ratio_quartiles": [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]],
        "then_peak_mib": sides[0].peak_mib,
        "now_peak_mib": sides[1].peak_mib,
        "steps": steps,
    }


def main() -> None:
    """Compare on the organism and on 20 M parameters."""
    parser = argparse.ArgumentParser()
    parser.add_argument("commit")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    still = ["optimizer.learning_rate=1e-12", "model.threads=1", "model.device=cpu"]
    small = ["sampling.max_new_tokens=96", "batch.groups_per_step=8", "batch.group_size=8", "model.template=plain"]
    with tempfile.TemporaryDirectory() as scratch:
        other, model = Path(scratch) / "other", Path(scratch) / "20m"
        write_model(model, twenty_million(), 0.02)
        subprocess.run(["git", "-C", HERE, "worktree", "add", "--detach", other, options.commit], check=True)
        try:
            organism = compare(other, ("organism", still, ""), options.steps)
            print(json.dumps(organism), flush=True)
            asked = (str(model), [*still, *small, "algorithm.reward=random"], prompt_text(100))
            larger = compare(other, asked, max(options.steps // 4, 4))
        finally:
            subprocess.run(["git", "-C", HERE, "worktree", "remove", "--force", other], check=True)
    write({"against": options.commit, "organism": organism, "20m": larger}, options.json)


if __name__ == "__main__":
    main()
