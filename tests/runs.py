"""Short runs of the tiny model, for tests."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from oneshot_rlvr.commands.session import chosen_problems, start
from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.runs import Run

STEPS = 10
TINY = [f"run.steps={STEPS}", "run.save_every=2"]


def tiny_run(path: Path, *settings: str, seed: int = 0) -> Run:
    config, sources = resolve("grpo", "tiny", [*TINY, *settings], {"run.seed": seed})
    run = Run(path)
    start(run, config, sources, chosen_problems(config))
    return run


def weights(run: Run, step: int = STEPS) -> dict[str, torch.Tensor]:
    return load_file(run.checkpoint_path(step) / "model.safetensors")


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def settings(*pairs: str) -> Config:
    return resolve("grpo", "organism", ["batch.groups_per_step=2", *pairs])[0]
