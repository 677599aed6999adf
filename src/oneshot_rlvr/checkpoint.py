"""Save and restore a training run at a step. Random numbers are keyed by step, so there is no generator state."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.policy import Policy, load_policy, make_optimizer
from oneshot_rlvr.policy.lora import adapter_tensors, add_adapters, restore_adapters
from oneshot_rlvr.policy.optimizer import optimizer_tensors, restore_optimizer
from oneshot_rlvr.rundir import RunDir, verify_folder, write_folder_atomically


def save_checkpoint(run: RunDir, step: int, policy: Policy, optimizer: torch.optim.AdamW, keep: int) -> None:
    """Write `checkpoints/step_N`: a Hugging Face folder, and in `trainer/` what resuming needs."""

    def fill(folder: Path) -> None:
        policy.save(folder)
        (folder / "trainer").mkdir()
        save_file(optimizer_tensors(policy.model, optimizer), folder / "trainer" / "optimizer.safetensors")
        if adapters := adapter_tensors(policy.model):
            save_file(adapters, folder / "trainer" / "adapters.safetensors")

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
    adapted = config.model.lora_rank > 0  # this folder's weights have the adapters merged in: start from the base
    section = config.model if adapted else config.model.model_copy(update={"path": str(folder)})
    policy = load_policy(section, config.speed.shared_prefix)
    if adapted:
        add_adapters(policy.model, config.model, config.run.seed)
    optimizer = make_optimizer(policy.model, config.optimizer)
    try:
        if adapted:
            restore_adapters(policy.model, load_file(folder / "trainer" / "adapters.safetensors"))
        tensors = load_file(folder / "trainer" / "optimizer.safetensors")
        restore_optimizer(policy.model, optimizer, tensors)
    except (OSError, SafetensorError, KeyError) as error:
        raise OneshotError(f"the trainer's state is damaged ({error})", where=folder, fix=fix) from error
    return policy, optimizer
