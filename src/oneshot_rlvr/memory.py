"""Out of memory is met by smaller pieces of the same work, and said."""

from __future__ import annotations

import ctypes
import resource
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from oneshot_rlvr.errors import OneshotError

Result = TypeVar("Result")


@dataclass
class Budget:
    """How much is computed at once; `what` and `key` are its name in messages and in the configuration."""

    size: float
    least: float
    what: str
    key: str


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, or torch's CPU allocator, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def peak_gib(device: torch.device) -> float:
    """The most memory held so far: on a GPU since the last call, on a CPU by this process since it began."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return peak / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def give_back() -> None:
    """Let the C library return to the system what was freed.

    glibc keeps it, and fills it with aligned blocks of the same sizes only in part: each micro-batch of a large model
    would take new memory for its activations.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


@contextmanager
def enough_memory(where: object) -> Iterator[None]:
    """What is done inside cannot be done in pieces.

    Raises:
        OneshotError: memory runs out.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise OneshotError(
            "out of memory: the weights and what their training holds do not fit",
            where=where,
            fix="`oneshot plan` says what does: model.dtype=bfloat16, model.lora_rank=32, or a smaller model.",
        ) from error


def in_pieces(budget: Budget, work: Callable[[], Result]) -> Result:
    """`work()`, done again with half the budget each time that memory runs out. It must not depend on an earlier try.

    Raises:
        OneshotError: the budget cannot be halved any more.
    """
    while True:
        try:
            return work()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if budget.size <= budget.least:
                raise OneshotError(
                    f"out of memory with {budget.what} as small as it goes",
                    where=f"{budget.key}={budget.size:g}",
                    fix="Shorten sampling.max_new_tokens, set model.gradient_checkpointing=true, or a smaller model.",
                ) from error
        # Outside the except block, which holds on to the failed work's tensors.
        half = budget.size // 2 if isinstance(budget.size, int) else budget.size / 2
        budget.size = max(budget.least, half)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(
            f"out of memory: {budget.what} halved and done again; --set {budget.key}={budget.size:g} starts with it",
            stacklevel=2,
        )
