"""Save and restore a training run at a step. Random numbers are keyed by step, so there is no generator state."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.policy import Policy, load_policy, make_optimizer
from oneshot_rlvr.policy.optimizer import optimizer_tensors, restore_optimizer
from oneshot_rlvr.rundir import RunDir, verify_folder, write_folder_atomically


def save_checkpoint(run: RunDir, step: int, policy: Policy, optimizer: torch.optim.AdamW, keep: int) -> None:
    """Write `checkpoints/step_N`: a Hugging Face folder, and in `trainer/` what resuming needs."""

    def fill(folder: Path) -> None:
        policy.save(folder)
        (folder / "trainer").mkdir()
        save_file(optimizer_tensors(policy.model, optimizer), folder / "trainer" / "optimizer.safetensors")

    write_folder_atomically(run.checkpoint_path(step), fill)
    run.drop_trainer_states(keep)


def load_checkpoint(run: RunDir, step: int, config: Config) -> tuple[Policy, torch.optim.AdamW]:
    """The policy and optimizer of a checkpoint.

    Raises:
        OneshotError: the checkpoint is damaged, with the way to the one before it.
    """
    folder = run.checkpoint_path(step)
    fix = "Delete this checkpoint folder; --resume then goes on from the newest other one that can be resumed."
    verify_folder(folder, fix, trainer=True)
    policy = load_policy(config.model.model_copy(update={"path": str(folder)}), config.speed.shared_prefix)
    optimizer = make_optimizer(policy.model, config.optimizer)
    try:
        tensors = load_file(folder / "trainer" / "optimizer.safetensors")
        restore_optimizer(policy.model, optimizer, tensors)
    except (OSError, SafetensorError, KeyError) as error:
        raise OneshotError(f"the optimizer state is damaged ({error})", where=folder, fix=fix) from error
    return policy, optimizer
