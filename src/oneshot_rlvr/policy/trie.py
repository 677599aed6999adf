"""Responses to the same prompt as one trie: what they begin with in common is computed once.

    "Slowly: 3 + 4 = 7"                       ┌─ 7
    "Slowly: 3 + 4 = 8"      Slowly: 3 + 4 = ─┤
    "Quickly: 9"                              └─ 8
                             Quickly: 9

A node is a token after certain tokens. Nodes that have children are read by the model, those of a prompt in one row,
each attending to the prompt, its ancestors and itself; a node's distribution comes from its parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Ids = tuple[int, ...]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Tries:
    """Rows of W prompts with up to N nodes that the model reads, and M nodes to score.

    ids_WN: the tokens read; depth_WN: how many tokens of a response precede each; ancestors_WNN: what each may attend
    to; prompts_W: the prompt of each row. parents_M: where the distribution of a scored node stands in the rows, one
    after the other, or -1 - w for the end of row w's prompt; targets_M: its token; nodes_B: the nodes of each response.
    """

    prompts_W: list[int]
    ids_WN: Integers
    depth_WN: Integers
    ancestors_WNN: NDArray[np.bool_]
    parents_M: Integers
    targets_M: Integers
    nodes_B: list[list[int]]


def common_length(a: Ids, b: Ids) -> int:
    """How many tokens two responses begin with in common."""
    for place, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return place
    return min(len(a), len(b))


def build_tries(rows: Sequence[int], responses: Sequence[Ids]) -> Tries:
    """One trie for each distinct prompt among `rows`; `rows[b]` is the prompt of `responses[b]`."""
    order = sorted(range(len(rows)), key=lambda b: (rows[b], responses[b]))
    prompts, tokens, parents, depths, row_of = [], [], [], [], []
    nodes_B: list[list[int]] = [[] for _ in rows]
    for row, (prompt, members) in enumerate(groupby(order, key=lambda b: rows[b])):
        prompts.append(prompt)
        previous, path = (), []
        for b in members:
            path = path[: common_length(previous, responses[b])]
            for depth in range(len(path), len(responses[b])):
                parents.append(path[-1] if path else -1 - row)
                tokens.append(responses[b][depth])
                depths.append(depth)
                row_of.append(row)
                path.append(len(tokens) - 1)
            previous, nodes_B[b] = responses[b], list(path)
    return _rows_of_nodes(prompts, np.array(tokens), np.array(parents), np.array(depths), np.array(row_of), nodes_B)


def _rows_of_nodes(
    prompts: list[int],
    tokens: Integers,
    parents: Integers,
    depths: Integers,
    row_of: Integers,
    nodes_B: list[list[int]],
) -> Tries:
    """Lay out the nodes that have children in rows."""
    read = np.zeros(len(tokens), dtype=bool)
    read[parents[parents >= 0]] = True
    counts = np.bincount(row_of[read], minlength=len(prompts))
    width = int(counts.max())
    column = np.cumsum(read) - 1 - np.concatenate([[0], np.cumsum(counts)[:-1]])[row_of]  # nodes come row by row
    shape = (len(prompts), width)
    ids_WN, depth_WN = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    ids_WN[row_of[read], column[read]] = tokens[read]
    depth_WN[row_of[read], column[read]] = depths[read]
    ancestors_WNN = np.zeros((*shape, width), dtype=bool)
    for node in np.flatnonzero(read).tolist():
        row, place, parent = row_of[node], column[node], parents[node]
        if parent >= 0:
            ancestors_WNN[row, place] = ancestors_WNN[row, column[parent]]
        ancestors_WNN[row, place, place] = True
    places = np.where(parents >= 0, row_of * width + column[parents], parents)
    return Tries(prompts, ids_WN, depth_WN, ancestors_WNN, places, tokens, nodes_B)
