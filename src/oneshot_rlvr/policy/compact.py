"""AdamW in 12 bytes a parameter, gradient and weight included, where the usual one takes 16 to 18.

| | usual, float32 | usual, bfloat16 with masters | compact |
|---|---|---|---|
| weight | 4 | 2 + 4 | 4, or 2 + 2 |
| gradient | 4 | 4 | 4 |
| moments | 8 | 8 | 4 |

The float32 master of a bfloat16 weight is the weight and the 16 bits that it lacks: nothing is lost. Both moments are
bfloat16. The second is rounded at random, to the nearer neighbour the more often: at beta2 = 0.999 a step changes it by
less than half of what bfloat16 can tell apart, and rounding to the nearest would leave it where it is. What is random
is a function of the step alone, so a resumed run repeats an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

CHUNK = 1 << 20  # numbers that are worked on at once: what is in float32 for a moment stays in the cache
LOW = 0x10000


class CompactAdamW(torch.optim.Optimizer):
    """AdamW (arXiv 1711.05101, algorithm 2) on float32 or bfloat16 weights; see the module's text.

    Gradients are summed in float32 by autograd itself (`grad_dtype`).
    """

    def __init__(
        self,
        weights: Sequence[torch.nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(weights, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        for weight in weights:
            weight.grad_dtype = torch.float32
            state = self.state[weight]
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(weight, dtype=torch.bfloat16)
            state["exp_avg_sq"] = torch.zeros_like(weight, dtype=torch.bfloat16)
            if weight.dtype == torch.bfloat16:
                state["low"] = torch.zeros_like(weight, dtype=torch.int16)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyrefly: ignore[bad-override]
        """Step every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step(weight, group)

    def _step(self, weight: Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[weight], group["betas"]
        state["step"] += 1
        done = int(state["step"])
        rate, whole = group["lr"] / (1 - beta1**done), math.sqrt(1 - beta2**done)
        noise = _noise(done, min(CHUNK, weight.numel()), weight.device)
        rows = (weight, weight.grad, state["exp_avg"], state["exp_avg_sq"], state.get("low"))
        flat = [None if row is None else row.view(-1) for row in rows]
        for start in range(0, weight.numel(), CHUNK):
            kept, grad, first, second, low = (None if row is None else row[start : start + CHUNK] for row in flat)
            assert kept is not None and grad is not None and first is not None and second is not None
            master = kept if low is None else joined(kept, low)
            m, v = first.float(), second.float()
            m.lerp_(grad, 1 - beta1)
            v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            master.mul_(1 - group["lr"] * group["weight_decay"])
            master.addcdiv_(m, (v.sqrt() / whole).add_(group["eps"]), value=-rate)
            first.copy_(m)
            second.copy_(rounded(v, noise[: len(v)]))
            if low is not None:
                split(master, kept, low)


def _noise(step: int, count: int, device: torch.device) -> Tensor:
    """Numbers from 0 to 65,535, a function of the step."""
    generator = torch.Generator(device).manual_seed(step)
    return torch.randint(0, LOW, (count,), dtype=torch.int32, device=device, generator=generator)


def rounded(values: Tensor, noise: Tensor) -> Tensor:
    """Float32 numbers, none below 0, as bfloat16 ones whose mean over the noise they are."""
    bits = values.view(torch.int32) + noise
    return (bits & -LOW).view(torch.float32).bfloat16()


def joined(high: Tensor, low: Tensor) -> Tensor:
    """The float32 numbers that bfloat16 weights and the bits that they lack stand for."""
    return ((high.view(torch.int16).int() << 16) + low.int()).view(torch.float32)


def split(values: Tensor, high: Tensor, low: Tensor) -> None:
    """Write float32 numbers as the nearest bfloat16 ones, ties away from 0, and what is left, -32,768 to 32,767."""
    bits = values.view(torch.int32)
    high.view(torch.int16).copy_((bits + LOW // 2) >> 16)
    low.copy_(bits - (high.view(torch.int16).int() << 16))
