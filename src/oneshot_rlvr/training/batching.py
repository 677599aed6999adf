"""Micro-batches under a token budget."""

from __future__ import annotations

from collections.abc import Sequence

from oneshot_rlvr.policy.trie import common_length

Ids = tuple[int, ...]
TRIE_NODES = 256  # in one trie; attention among its nodes costs their square
WORTH_A_TRIE = 0.6  # nodes, as a fraction of the responses' tokens


def microbatch_tokens(configured: int | None, device: str) -> int:
    """Tokens of a micro-batch on a kind of device. A CPU is fastest while a layer's tensors fit its cache."""
    return configured or (512 if device == "cpu" else 16384)


def microbatches(
    lengths: Sequence[int], indices: Sequence[int], budget: float, by_length: bool = True
) -> list[list[int]]:
    """Split `indices`, sorted by length, so that rows x longest stays within `budget` (one row may exceed it)."""
    batches: list[list[int]] = []
    longest = 0
    for i in sorted(indices, key=lambda i: (lengths[i], i)) if by_length else indices:
        longest = max(longest, lengths[i])
        if batches and (len(batches[-1]) + 1) * longest <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
            longest = lengths[i]
    return batches


def trie_microbatches(
    rows: Sequence[int], responses: Sequence[Ids], indices: Sequence[int], budget: float
) -> list[list[int]] | None:
    """Split `indices` so that responses that begin alike are together, or None where that would save little.

    A micro-batch has one trie for each of its prompts, none above `TRIE_NODES`, prompts x largest within `budget`.
    """
    batches: list[list[int]] = []
    sizes: dict[int, int] = {}  # of the last micro-batch's tries
    computed, previous = 0, -1
    for i in sorted(indices, key=lambda i: (rows[i], responses[i])):
        new = len(responses[i])
        if previous >= 0 and rows[previous] == rows[i]:
            new -= common_length(responses[previous], responses[i])
        previous = i
        grown = {**sizes, rows[i]: sizes.get(rows[i], 0) + new}
        largest = max(grown.values())
        if batches and largest <= TRIE_NODES and len(grown) * largest <= budget:
            batches[-1].append(i)
            sizes, computed = grown, computed + new
        else:  # what it shares with the one before is computed again
            batches.append([i])
            sizes, computed = {rows[i]: len(responses[i])}, computed + len(responses[i])
    return batches if computed <= WORTH_A_TRIE * sum(len(responses[i]) for i in indices) else None
