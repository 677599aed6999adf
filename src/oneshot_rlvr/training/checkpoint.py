"""Save and restore the learners of a run at a step. Random numbers are keyed by step: there is no generator state.

`checkpoints/step_N/` is the policy as a Hugging Face folder. `trainer/` in it holds what only resuming needs: the
policy's optimizer (and its adapters), in `trainer/NAME/` each other learner's weights and optimizer, and in
`trainer/kl.json` a steered coefficient of KL in the reward.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from oneshot_rlvr.algorithms.kl_control import KlControl
from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError, first_line
from oneshot_rlvr.files import write_folder_atomically
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.policy.lora import adapter_tensors, add_adapters, restore_adapters
from oneshot_rlvr.policy.optimizer import optimizer_tensors, restore_optimizer
from oneshot_rlvr.runs import Run
from oneshot_rlvr.sealing import read_record, write_record
from oneshot_rlvr.training.models import POLICY, Learner, Models, policy_learner

FIX = "Delete this checkpoint folder; --resume then goes on from the newest other one that can be resumed."


def save_checkpoint(run: Run, step: int, models: Models, keep: int) -> None:
    """Write `checkpoints/step_N`; all but the newest `keep` checkpoints lose what resuming needs."""

    def fill(folder: Path) -> None:
        models.policy.save(folder)
        (folder / "trainer").mkdir()
        if models.kl.coefficient is not None:
            write_record(folder / "trainer" / "kl.json", {"coefficient": models.kl.coefficient})
        for name, learner in models.learners.items():
            own = _folder(folder, name)
            own.mkdir(exist_ok=True)
            save_file(optimizer_tensors(learner.module, learner.optimizer), own / "optimizer.safetensors")
            if name != POLICY:
                save_file(_weights(learner), own / "weights.safetensors")
            elif adapters := adapter_tensors(models.policy.model):
                save_file(adapters, own / "adapters.safetensors")

    write_folder_atomically(run.checkpoint_path(step), fill)
    run.drop_trainer_states(keep)


def _folder(checkpoint: Path, learner: str) -> Path:
    return checkpoint / "trainer" if learner == POLICY else checkpoint / "trainer" / learner


def _weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in learner.module.state_dict().items()}


def load_models(run: Run, step: int, config: Config) -> Models:
    """The policy of a checkpoint and its learner; `restore_learner` gives others their state.

    Raises:
        OneshotError: the checkpoint is damaged, with the way to the one before it.
    """
    folder = run.verified_checkpoint(step, FIX, trainer=True)
    adapted = config.model.lora_rank > 0  # this folder's weights have the adapters merged in: start from the base
    section = config.model if adapted else config.model.model_copy(update={"path": str(folder)})
    policy = load_policy(section, config.speed.shared_prefix)
    if adapted:
        add_adapters(policy.model, config.model, config.run.seed)
    models = Models(policy, {POLICY: policy_learner(policy, config)})
    restore_learner(run, step, models.learner)
    return models


def restore_kl(run: Run, step: int, control: KlControl) -> None:
    """Let KL in the reward be steered on from where it was in a checkpoint.

    Raises:
        OneshotError: the record is damaged, or not there.
    """
    if control.coefficient is not None:
        control.coefficient = float(read_record(run.checkpoint_path(step) / "trainer" / "kl.json", FIX)["coefficient"])


def restore_learner(run: Run, step: int, learner: Learner) -> None:
    """Give a learner the state that it had in a checkpoint.

    Raises:
        OneshotError: it is damaged, or not there.
    """
    checkpoint = run.checkpoint_path(step)
    own = _folder(checkpoint, learner.name)
    try:
        if learner.name != POLICY:
            learner.module.load_state_dict(load_file(own / "weights.safetensors"))
        elif adapter_tensors(learner.module):
            restore_adapters(learner.module, load_file(own / "adapters.safetensors"))
        restore_optimizer(learner.module, learner.optimizer, load_file(own / "optimizer.safetensors"))
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise OneshotError(
            f"the state of the {learner.name} is damaged ({first_line(error)})", where=checkpoint, fix=FIX
        ) from error
