"""Low-rank adapters through peft: only they are trained, and a checkpoint holds weights with them merged in.

W + (alpha / rank) B A for every linear layer but the output's. Source: LoRA (arXiv 2106.09685), equation 3.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from transformers import PreTrainedModel

from oneshot_rlvr.config import ModelSection
from oneshot_rlvr.errors import OneshotError

NAME = "default"


def add_adapters(model: PreTrainedModel, section: ModelSection, seed: int) -> None:
    """Freeze the model and give each linear layer an adapter that changes nothing yet; its A is drawn from `seed`.

    Raises:
        OneshotError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise OneshotError(
            "low-rank adapters need peft", where="model.lora_rank", fix="pip install 'oneshot-rlvr[lora]'"
        ) from error
    torch.manual_seed(seed)
    settings = LoraConfig(
        r=section.lora_rank, lora_alpha=section.lora_alpha, target_modules="all-linear", lora_dropout=0.0
    )
    inject_adapter_in_model(settings, model, adapter_name=NAME)


def adapter_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The adapters' weights by name; empty for a model without adapters."""
    return {name: p.detach().contiguous() for name, p in model.named_parameters() if ".lora_" in name}


@torch.no_grad()
def restore_adapters(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `adapter_tensors` gave.

    Raises:
        KeyError: an adapter is missing.
    """
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.copy_(tensors[name])


@contextlib.contextmanager
def adapters_off(model: torch.nn.Module) -> Iterator[None]:
    """Within, the model is the one that it began as."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


@torch.no_grad()
def merged_state(model: PreTrainedModel) -> dict[str, Any] | None:
    """The weights with the adapters added, in float32 and on the CPU, under the names of the model without them; None
    if it has none."""
    if not adapter_tensors(model):
        return None
    adapted = {f"{name}.weight": layer for name, layer in model.named_modules() if hasattr(layer, "get_delta_weight")}
    state: dict[str, Any] = {}
    for name, tensor in model.state_dict().items():
        if ".lora_" not in name:
            plain = name.replace(".base_layer.", ".")
            state[plain] = tensor.cpu().float() if tensor.dtype == torch.bfloat16 else tensor.cpu()
            if plain in adapted:
                state[plain] = state[plain] + adapted[plain].get_delta_weight(NAME).cpu()  # pyrefly: ignore[not-callable]
    return state
