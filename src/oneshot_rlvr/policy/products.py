"""Products with a large float32 weight, by oneDNN where it is quicker than MKL: on AMD's processors.

PyTorch multiplies float32 matrices with MKL, which on AMD's processors packs the whole weight for every few rows, as
decoding asks for, and takes 1.2 to 3 times as long as oneDNN, which PyTorch brings too (docs/speed.md). Sums are added
up in another order, so the last bits differ; small weights, other precisions and processors are left as they are.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

WEIGHTS = 1 << 19  # at least
_NAME = "_linear_pointwise"  # as torch.compile calls it; it has no gradient


@cache
def pays() -> bool:
    """Whether this is a processor where it pays: one of AMD's, and torch has both libraries.

    Asked of the processor and not of a clock, so that a run's numbers are the same each time.
    """
    facts, backends = Path("/proc/cpuinfo"), torch.backends
    there = backends.mkl.is_available() and backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, _NAME)
    return there and facts.exists() and "AuthenticAMD" in facts.read_text()


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`linear(x, weight, bias)`, the quicker way where no gradient is wanted."""
    if _large(weight) and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu") and pays():
        return product(x, weight, bias)
    return linear(x, weight, bias)


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`linear(x, weight, bias)` by oneDNN, all float32 on a CPU."""
    return getattr(torch.ops.mkldnn, _NAME)(x, weight, bias, "none", [], "")


def _large(weight: Tensor) -> bool:
    return weight.numel() >= WEIGHTS and weight.dtype == torch.float32 and weight.device.type == "cpu"


def _forward(self: Any, x: Tensor) -> Tensor:
    return multiply(x, self.weight, self.bias)


def quicken(model: nn.Module) -> int:
    """Let the large float32 layers of a model on a CPU multiply so; returns how many do."""
    changed = 0
    for module in model.modules() if pays() else ():
        if type(module) is nn.Linear and _large(module.weight):
            module.forward = MethodType(_forward, module)
            changed += 1
    return changed
