"""Questions as vectors: what two of them have in common, letter by letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

PLACES = 4_093  # a prime, so that all of a text's bytes count


def tf_idf(texts: Sequence[str], size: int, among: Sequence[str] | None = None) -> np.ndarray:
    """Unit vectors [P, F] of the texts' character n-grams, hashed into `PLACES`; rare ones `among` them weigh more."""
    counts_PF = _counts(tuple(texts), size)
    known_PF = counts_PF if among is None else _counts(tuple(among), size)
    weights_F = np.log((1 + len(known_PF)) / (1 + (known_PF > 0).sum(axis=0)))
    vectors_PF = counts_PF * (1 + weights_F)
    return vectors_PF / np.maximum(np.linalg.norm(vectors_PF, axis=1, keepdims=True), 1e-9)


@lru_cache(maxsize=8)
def _counts(texts: tuple[str, ...], size: int) -> np.ndarray:
    counts_PF = np.zeros((len(texts), PLACES), np.float32)
    for place, text in enumerate(texts):
        tidy = tidied(text)
        for gram, count in Counter(tidy[i : i + size] for i in range(max(1, len(tidy) - size + 1))).items():
            counts_PF[place, int.from_bytes(gram.encode(errors="replace")[:24], "little") % PLACES] += count
    return counts_PF


def tidied(text: str) -> str:
    """A text in lower case, its space made one."""
    return " ".join(text.lower().split())
