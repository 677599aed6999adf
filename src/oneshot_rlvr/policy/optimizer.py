"""AdamW, its learning-rate schedule, and its state as safetensors."""

from __future__ import annotations

import math

import torch
from transformers import PreTrainedModel

from oneshot_rlvr.config import OptimizerSection


def make_optimizer(model: PreTrainedModel, section: OptimizerSection) -> torch.optim.AdamW:
    """AdamW over every parameter that trains; weight decay applies to all of them, as in verl."""
    return torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=section.learning_rate,
        betas=section.betas,
        eps=section.eps,
        weight_decay=section.weight_decay,
    )


def learning_rate_factor(section: OptimizerSection, step: int, steps: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`, as a fraction of its highest.

    Linear warm-up over `warmup_steps` (the first step is not 0), then constant, or
    min_ratio + (1 - min_ratio) (1 + cos(2 pi cycles progress)) / 2, as in verl and Transformers.
    """
    if step < section.warmup_steps:
        return (step + 1) / section.warmup_steps
    if section.schedule == "constant":
        return 1.0
    progress = (step - section.warmup_steps) / max(1, steps - section.warmup_steps)
    wave = 0.5 * (1 + math.cos(2 * math.pi * section.cycles * progress))
    return section.min_ratio + (1 - section.min_ratio) * wave


def optimizer_tensors(model: PreTrainedModel, optimizer: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    """The optimizer's state by name, for a safetensors file."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = value.contiguous()
    return tensors


def restore_optimizer(model: PreTrainedModel, optimizer: torch.optim.AdamW, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    parameters = dict(model.named_parameters())
    for name, value in tensors.items():
        key, _, parameter_name = name.partition("/")
        parameter = parameters[parameter_name]
        state = optimizer.state[parameter]
        state[key] = value.clone() if key == "step" else value.to(parameter.device, copy=True)
