"""What each mechanism of the step brings: steps with all of them, and with one switched off, in turn.

    python benchmarks/mechanisms.py --json results/mechanisms.json

On the organism and one of its problems, without KL (so that a group can be worth nothing), 128 rollouts a
step, one thread; and on the 20 M model of `step_vs_trl.py` with spread lengths and 32 rollouts. Ratios above 1 say how
much longer a step takes, or how much more memory it holds, without the mechanism.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from oneshot_rlvr.commands.session import chosen_problems
from oneshot_rlvr.config import Config, SpeedSection, resolve
from oneshot_rlvr.problems import Problem
from outcome import write
from shapes import peak_memory, prompt_text, twenty_million, write_model
from step_vs_trl import OurSteps

PARTS = ("sample", "grade", "update")


def compare(config: Config, problem: Problem, steps: int) -> dict[str, Any]:
    """Medians of each variant's interleaved steps, and the ratios to the one with everything."""
    variants = {"all": config.speed}
    variants |= {name: config.speed.model_copy(update={name: False}) for name in SpeedSection.model_fields}
    memory: dict[str, list[float]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as scratch:
        ours = {
            name: OurSteps(config.model_copy(update={"speed": speed}), problem, Path(scratch) / name)
            for name, speed in variants.items()
        }
        for _ in range(steps + 1):
            for name, trainer in ours.items():
                memory[name].append(peak_memory(trainer.step))
    table: dict[str, Any] = {}
    for name, trainer in ours.items():
        rows = trainer.steps[1:]
        table[name] = {part: statistics.median(row[f"time/{part}_s"] for row in rows) for part in PARTS}
        table[name]["step"] = statistics.median(row["seconds"] for row in rows)
        table[name]["peak_mib"] = statistics.median(memory[name][1:])
    ratios = {
        name: {key: row[key] / table["all"][key] for key in ("step", "sample", "update", "grade")}
        for name, row in table.items()
        if name != "all"
    }
    return {"seconds": table, "longer_without": ratios}


def main() -> None:
    """Run, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--problem", default="pool-124", help="a problem of the organism's pool")
    options = parser.parse_args()
    torch.set_num_threads(1)
    free = ["algorithm.kl_coefficient=0", "optimizer.learning_rate=1e-9", "run.validate_every=0"]
    free += ["algorithm.entropy_coefficient=0", "model.threads=1", "model.device=cpu"]
    config, _ = resolve("grpo", "organism", [f"data.only=[{options.problem}]", *free])
    [problem] = chosen_problems(config)
    result: dict[str, Any] = {"organism": compare(config, problem, options.steps)}
    with tempfile.TemporaryDirectory() as scratch:
        write_model(Path(scratch), twenty_million(), 0.0153)
        sizes = ["sampling.max_new_tokens=256", "batch.groups_per_step=4", "sampling.temperature=1.0"]
        config, _ = resolve("grpo", scratch, [*free, *sizes, "model.template=plain", "algorithm.reward=random"])
        problem = Problem("words", prompt_text(110), "1", "made for this benchmark")
        result["20m"] = compare(config, problem, max(2, options.steps // 3))
    write(result, options.json)


if __name__ == "__main__":
    main()
