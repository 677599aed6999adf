"""AdamW, its learning-rate schedule, and its state as safetensors."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from oneshot_rlvr.config import OptimizerSection
from oneshot_rlvr.policy.compact import CompactAdamW


class MasterAdamW(torch.optim.AdamW):
    """AdamW on float32 copies of weights in a shorter dtype, which lose updates below a few thousandths of themselves.

    Each micro-batch's gradient is added to the copies' in float32 as soon as it is there; a step rounds the copies into
    the weights.
    """

    def __init__(self, weights: Sequence[torch.nn.Parameter], **options: Any) -> None:
        self.weights = list(weights)
        super().__init__([weight.detach().float().clone() for weight in weights], **options)
        for weight, master in zip(self.weights, self.masters, strict=True):
            master.grad = torch.zeros_like(master)
            weight.register_post_accumulate_grad_hook(functools.partial(_hand_over, master=master))

    @property
    def masters(self) -> list[torch.Tensor]:
        """The float32 copies, in the order of `weights`."""
        return self.param_groups[0]["params"]

    def step(self, closure: None = None) -> None:  # pyrefly: ignore[bad-override]
        """Step the copies, and round them into the weights."""
        super().step(closure)
        self.round()

    @torch.no_grad()
    def round(self) -> None:
        """Give the weights what the copies hold."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            weight.copy_(master)


def _hand_over(weight: torch.Tensor, master: torch.Tensor) -> None:
    assert weight.grad is not None
    assert master.grad is not None
    master.grad += weight.grad
    weight.grad = None


def make_optimizer(model: torch.nn.Module, section: OptimizerSection) -> torch.optim.Optimizer:
    """AdamW over every parameter that trains; weight decay applies to all of them, as in verl."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    short = any(weight.dtype in (torch.bfloat16, torch.float16) for weight in weights)
    compact = section.moments == "bfloat16"
    kind = CompactAdamW if compact else MasterAdamW if short else torch.optim.AdamW
    return kind(
        weights, lr=section.learning_rate, betas=section.betas, eps=section.eps, weight_decay=section.weight_decay
    )


def trained_parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """The tensors that the optimizer steps."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def learning_rate_factor(section: OptimizerSection, step: int, steps: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`, as a fraction of its highest.

    Linear warm-up over `warmup_steps` (0, 1/n, 2/n, ...: the first step moves nothing), then constant, or
    min_ratio + (1 - min_ratio) (1 + cos(2 pi cycles progress)) / 2, as in verl and Transformers.
    """
    if step < section.warmup_steps:
        return step / section.warmup_steps
    if section.schedule == "constant":
        return 1.0
    progress = (step - section.warmup_steps) / max(1, steps - section.warmup_steps)
    wave = 0.5 * (1 + math.cos(2 * math.pi * section.cycles * progress))
    return section.min_ratio + (1 - section.min_ratio) * wave


def optimizer_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state by name, for a safetensors file; float32 copies of weights are part of it."""
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in _named(model, optimizer):
        if isinstance(optimizer, MasterAdamW):
            tensors[f"master/{name}"] = parameter.contiguous()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = value.contiguous()
    return tensors


def _named(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, torch.Tensor]]:
    """What the optimizer steps, by the name of its weight."""
    names = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
    return zip(names, trained_parameters(optimizer), strict=True)


def restore_optimizer(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    """Put back what `optimizer_tensors` gave."""
    parameters = dict(_named(model, optimizer))
    for name, value in tensors.items():
        key, _, parameter_name = name.partition("/")
        parameter = parameters[parameter_name]
        if key == "master":
            with torch.no_grad():
                parameter.copy_(value)
        else:
            optimizer.state[parameter][key] = value.clone() if key == "step" else value.to(parameter.device, copy=True)
