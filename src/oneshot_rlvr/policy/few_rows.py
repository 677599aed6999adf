"""Products of few rows with a large weight, as decoding asks for, in the order that MKL is quicker at.

x W' of a few rows is W x' transposed. MKL packs the operand that it takes for the smaller one; on AMD's processors the
usual order packs the whole weight for every token, and takes longer (docs/speed.md). Sums are added up in another
order, so the last bits differ; small weights are left as they are.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

ROWS, WEIGHTS = 64, 1 << 19  # at most this many rows, at least this many weights


@cache
def pays() -> bool:
    """Whether this is a processor where it pays: one of AMD's, on which torch multiplies with MKL.

    Asked of the processor and not of a clock, so that a run's numbers are the same each time.
    """
    facts = Path("/proc/cpuinfo")
    return torch.backends.mkl.is_available() and facts.exists() and "AuthenticAMD" in facts.read_text()


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`linear(x, weight, bias)`, the weight first where that is quicker and no gradient is wanted."""
    few = x.dim() > 1 and x.numel() <= ROWS * x.shape[-1]
    if few and _large(weight) and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu") and pays():
        return product(x, weight, bias)
    return linear(x, weight, bias)


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`linear(x, weight, bias)`, the weight first."""
    rows = x.flatten(0, -2)
    out = torch.mm(weight, rows.T) if bias is None else torch.addmm(bias[:, None], weight, rows.T)
    return out.T.contiguous().view(*x.shape[:-1], len(weight))


def _large(weight: Tensor) -> bool:
    return weight.numel() >= WEIGHTS and weight.dtype == torch.float32


def _forward(self: Any, x: Tensor) -> Tensor:
    return multiply(x, self.weight, self.bias)


def weights_first(model: nn.Module) -> int:
    """Let large float32 layers of a model on a CPU multiply few rows in that order; returns how many do."""
    changed = 0
    for module in model.modules() if pays() else ():
        if type(module) is nn.Linear and _large(module.weight):
            module.forward = MethodType(_forward, module)
            changed += 1
    return changed
