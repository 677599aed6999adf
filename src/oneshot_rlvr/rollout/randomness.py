"""Random numbers keyed by what they are for, never by the order of a batch.

A counter-based generator (SplitMix64's finaliser as a hash): the number for (key, stream, token) is a function of
those three, so compaction, waves and micro-batches change nothing and resuming needs no generator state.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fold(*parts: int | str) -> int:
    """One 64-bit key from several numbers or names."""
    digest = hashlib.blake2b("\x1f".join(f"{type(part).__name__}{part}" for part in parts).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def uniforms(key: int, streams_B: NDArray[np.uint64], token: int) -> NDArray[np.float64]:
    """One number in [0, 1) for each stream at this token position."""
    state = _mix(streams_B ^ _mix(np.array([key & _MASK], dtype=np.uint64)))
    state = _mix(state + np.array([(token + 1) * _GOLDEN & _MASK], dtype=np.uint64))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
