"""Does this working tree train as another commit does? Weights, rollouts and metrics, to the bit.

    python benchmarks/against_commit.py 5c4db10 --json results/against_first_edition.json

The other commit is checked out beside; the same commands run there and here, and their run folders are compared:
every tensor of every checkpoint, every rollout, and every metric that both record but times and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from oneshot_rlvr.files import read_jsonl, read_rows
from outcome import write

HERE = Path(__file__).parents[1]
RECIPES = {"grpo": "grpo", "grpo-no-kl": "grpo-no-kl", "format-only": "grpo"}  # by a name, what it is like
CHANGES = {"format-only": ["--set", "algorithm.reward=format"]}
MODELS, SEEDS, STEPS = ("tiny", "organism"), (0, 1), 20
MEASURED = ("time/", "memory/", "tokens/per_second")  # of the machine, not of the method


def trained(source: Path, out: Path, recipe: str, model: str, seed: int) -> None:
    """Train in a process whose package is that of `source`."""
    call = "from oneshot_rlvr.cli import main" if source != HERE else "from oneshot_rlvr.commands.app import main"
    command = [sys.executable, "-c", f"{call}; main()", "train", RECIPES[recipe], "--model", model, "--seed", str(seed)]
    command += [
        "--steps",
        str(STEPS),
        "--set",
        "run.save_every=10",
        "--out",
        str(out),
        "--quiet",
        *CHANGES.get(recipe, []),
    ]
    environment = {**os.environ, "PYTHONPATH": str(source / "src")}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def differences(before: Path, now: Path) -> list[str]:
    """What differs between two run folders."""
    found = []
    for path in sorted(before.rglob("*.safetensors")):
        ours, theirs = load_file(now / path.relative_to(before)), load_file(path)
        if ours.keys() != theirs.keys() or any(not torch.equal(ours[name], theirs[name]) for name in theirs):
            found.append(str(path.relative_to(before)))
    for path in sorted(before.glob("rollouts/*.zst")):
        if read_rows(now / path.relative_to(before), "") != read_rows(path, ""):
            found.append(str(path.relative_to(before)))
    lines, old_lines = read_jsonl(now / "metrics.jsonl"), read_jsonl(before / "metrics.jsonl")
    for line, old in zip(lines, old_lines, strict=True):
        found += [
            f"step {old['step']}: {name} {old[name]} then, {line.get(name)} now"
            for name in old
            if not name.startswith(MEASURED) and line.get(name) != old[name]
        ]
    return found


def new_metrics(before: Path, now: Path) -> list[str]:
    """Metrics that only the newer one records."""
    return sorted(set(read_jsonl(now / "metrics.jsonl")[0]) - set(read_jsonl(before / "metrics.jsonl")[0]))


def main() -> None:
    """Train everything twice and say what differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("commit")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"against": options.commit, "steps": STEPS, "runs": {}}
    with tempfile.TemporaryDirectory() as scratch:
        other = Path(scratch) / "other"
        subprocess.run(["git", "-C", HERE, "worktree", "add", "--detach", other, options.commit], check=True)
        try:
            for model in MODELS:
                for recipe in RECIPES:
                    for seed in SEEDS:
                        folders = [Path(scratch) / f"{side}-{model}-{recipe}-{seed}" for side in ("before", "now")]
                        for source, out in zip((other, HERE), folders, strict=True):
                            trained(source, out, recipe, model, seed)
                        found = differences(*folders)
                        result["runs"][f"{recipe} on {model}, seed {seed}"] = found
                        result["new_metrics"] = new_metrics(*folders)
                        print(f"{recipe} on {model}, seed {seed}: {json.dumps(found[:3]) if found else 'identical'}")
        finally:
            subprocess.run(["git", "-C", HERE, "worktree", "remove", "--force", other], check=True)
    result["identical"] = not any(result["runs"].values())
    write(result, options.json)
    sys.exit(0 if result["identical"] else 1)


if __name__ == "__main__":
    main()
