"""Which dtype a device computes in fastest: what `model.dtype=auto` means here.

bfloat16 products are two to three times as fast as float32 on a processor that has them (AVX-512 BF16 or AMX), and
many times slower on one that has not (docs/speed.md). Masters are float32 either way (`optimizer.py`).
"""

from __future__ import annotations

from typing import Literal

import torch

HALVES = ("avx512_bf16", "amx_bf16")  # x86; ARM's is "bf16"


def has_half(device: str) -> bool:
    """Whether a device, `cpu` or `cuda...`, multiplies bfloat16 matrices natively."""
    if device != "cpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in (*HALVES, "bf16"))


def fastest(device: str, small: bool) -> tuple[Literal["float32", "bfloat16"], str]:
    """The dtype for a model's weights on a device, and why; a small model's calls take longer than its products."""
    if small:
        return "float32", "a small model"
    if has_half(device):
        return "bfloat16", f"the {'processor' if device == 'cpu' else 'GPU'} computes in it"
    return "float32", f"no bfloat16 products on this {'processor' if device == 'cpu' else 'GPU'}"
