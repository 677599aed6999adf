"""What training half a billion parameters takes of a computer's memory, and of its time.

    python benchmarks/laptop_memory.py --json results/laptop_memory.json

A Qwen2 of Qwen2.5-0.5B's sizes with an output layer of its own (0.63 B random weights), 32 rollouts of 64 tokens a
step, GRPO without KL; each variant in a process of its own. `peak_gib` is the most memory that the process ever held,
everything in it, the saved checkpoint too; `peak_of_steps_gib` without that; `seconds` are of the steps after the
first. Compare them as ratios within one run alone.
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

from oneshot_rlvr.runs import Run
from outcome import write
from shapes import qwen2, write_model

VARIANTS = {
    "full, as it was": ["optimizer.moments=float32"],
    "full": ["optimizer.moments=bfloat16"],
    "full, recomputed activations": ["optimizer.moments=bfloat16", "model.gradient_checkpointing=true"],
    "adapters": ["model.lora_rank=16", "optimizer.learning_rate=1e-5"],
    "full, one thread": ["optimizer.moments=bfloat16", "model.threads=1"],
}
ROLLOUTS, TOKENS = 32, 64


def half_a_billion(folder: Path) -> None:
    """The model, if it is not there yet."""
    if not (folder / "config.json").exists():
        attention = {"num_attention_heads": 14, "num_key_value_heads": 2}
        sizes = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "vocab_size": 151_936}
        write_model(folder, qwen2(**sizes, **attention), 0.0)


def measure(model: Path, settings: list[str], steps: int, scratch: Path) -> dict[str, Any]:
    """A run in a process of its own: peak memory in GiB, and medians of the steps after the first."""
    always = [f"batch.groups_per_step={ROLLOUTS // 8}", f"sampling.max_new_tokens={TOKENS}", "run.save_every=100"]
    always += ["model.template=plain", "run.validate_every=0", "model.device=cpu", "sampling.max_prompt_tokens=256"]
    always.append("algorithm.reward=random")
    chosen = [f"--set={pair}" for pair in (*always, *settings)]
    out = scratch / f"run-{len(list(scratch.iterdir()))}"
    command = [sys.executable, "-m", "oneshot_rlvr", "train", "grpo-no-kl", "--model", str(model), "--quiet"]
    asked = ["--question", "t1 t2 t3", "--answer", "7", "--steps", str(steps), "--out", str(out)]
    process = subprocess.Popen([*command, *asked, *chosen], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{out} ended with {os.waitstatus_to_exitcode(status)}")
    run = Run(out)
    rows = run.metrics()
    later = rows[1:] or rows
    return {
        "peak_gib": used.ru_maxrss / 2**20,
        "peak_of_steps_gib": rows[-1]["memory/peak_gib"],
        "dtype": run.config.model.dtype,
        "seconds": {
            part: statistics.median(row[f"time/{part}_s"] for row in later) for part in ("sample", "grade", "update")
        },
    }


def main() -> None:
    """Run, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--model", type=Path, default=Path("runs/half-a-billion"), help="where the model is kept")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", help="one variant")
    options = parser.parse_args()
    half_a_billion(options.model)
    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, settings in VARIANTS.items():
            if options.only in (None, name):
                table[name] = measure(options.model, settings, options.steps, Path(scratch))
                print(name, json.dumps(table[name]), flush=True)
    write({"rollouts": ROLLOUTS, "tokens": TOKENS, "variants": table}, options.json)


if __name__ == "__main__":
    main()
