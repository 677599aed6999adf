"""One token at a time for the distinct histories of a wave, each in a slot of a key-value cache.

`SharedDecoding` keeps keys and values in one preallocated rectangle (`cache.py`) and encodes each prompt once;
`PlainDecoding` is for models whose attention is not plain and full: one prompt, the model's own cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from oneshot_rlvr.policy.attention import Capture, active, hidden_states, output_layer
from oneshot_rlvr.rollout.cache import OnePrompt, Rectangle
from oneshot_rlvr.rollout.graphs import GraphedForward

Integers = NDArray[np.int64]
COMPACT_BELOW = 0.75  # live slots, as a fraction of the slots that are computed


class Decoding(Protocol):
    """Histories in slots. It begins with one slot for each distinct prompt, in the order given."""

    logits_SV: torch.Tensor

    def advance(self, parents_N: Integers, tokens_N: Integers) -> Integers:
        """Go on with N histories, each a slot's history and one more token; returns the slot of each.

        `parents_N` ascends and may repeat. Slots that nothing goes on from are free from then on.
        """
        ...


def place(parents_N: Integers, slots: int, compact_below: float, capacity: int) -> tuple[Integers, bool]:
    """A slot for each of N histories, and whether all of them move (to 0 .. N - 1).

    Unless that closes enough gaps, the first history of each parent stays where the parent is, and the others go to
    free slots.
    """
    count = len(parents_N)
    stays = np.ones(count, dtype=bool)
    stays[1:] = parents_N[1:] != parents_N[:-1]
    used = slots + max(0, count - slots)
    if count <= compact_below * used:
        return np.arange(count), True
    free = np.setdiff1d(np.arange(capacity), parents_N, assume_unique=False)
    placed_N = parents_N.copy()
    placed_N[~stays] = free[: count - int(stays.sum())]
    return placed_N, False


class SharedDecoding:
    """See the module's text. `capacity` slots have room for a prompt and `new_tokens` each.

    With `graphs` the forward passes have few different shapes and, on a GPU, are replayed as CUDA graphs.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[tuple[int, ...]],
        capacity: int,
        new_tokens: int,
        compact: float,
        graphs: bool = False,
    ) -> None:
        self.model, self.head, self.compact, self.capacity = model, output_layer(model), compact, capacity
        self.device = next(model.parameters()).device
        lengths_P = torch.tensor([len(ids) for ids in prompts], device=self.device)
        width, count = int(lengths_P.max()), len(prompts)
        prompts_PT = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in prompts], device=self.device)
        prefix = Capture()
        with active(prefix):
            hidden_PTH = hidden_states(model, prompts_PT, torch.arange(width, device=self.device).expand_as(prompts_PT))
        self.logits_SV = self.head(hidden_PTH[torch.arange(count, device=self.device), lengths_P - 1])
        self.slots = count
        self.positions = lengths_P.new_zeros(capacity)
        self.positions[:count] = lengths_P
        kind = OnePrompt if count == 1 else Rectangle
        self.cache = kind(prefix, lengths_P, capacity, new_tokens, fixed_shapes=graphs)
        self.graphs = GraphedForward(model, self.cache, capacity) if graphs else None

    def advance(self, parents_N: Integers, tokens_N: Integers) -> Integers:
        """See `Decoding.advance`."""
        placed_N, moved = place(parents_N, self.slots, self.compact, self.capacity)
        copies = placed_N != parents_N
        if copies.any():
            sources, targets = (torch.from_numpy(slots[copies]).to(self.device) for slots in (parents_N, placed_N))
            self.cache.copy(sources, targets)
            self.positions[targets] = self.positions[sources]
        self.slots = len(placed_N) if moved else max(self.slots, int(placed_N.max()) + 1)
        tokens_S = np.zeros(self.slots, dtype=np.int64)  # a free slot computes something that nobody reads
        tokens_S[placed_N] = tokens_N
        tokens_S1 = torch.from_numpy(tokens_S).to(self.device)[:, None]
        if self.graphs is not None:
            self.logits_SV = self.graphs(tokens_S1, self.positions)
        else:
            self.cache.slots = self.slots
            with active(self.cache):
                hidden_S1H = hidden_states(self.model, tokens_S1, self.positions[: self.slots, None])
            self.logits_SV = self.head(hidden_S1H[:, 0])
        self.cache.written()
        self.positions += 1
        return placed_N


class PlainDecoding:
    """One prompt through the model as it comes, with its own cache; without one every token reads the text again."""

    def __init__(self, model: PreTrainedModel, prompt: tuple[int, ...], compact: float) -> None:
        self.model, self.compact = model, compact
        self.ids_ST = torch.tensor([prompt], device=next(model.parameters()).device)
        output = model(input_ids=self.ids_ST, use_cache=True)
        self.cache = getattr(output, "past_key_values", None)
        self.logits_SV = output.logits[:, -1]

    def advance(self, parents_N: Integers, tokens_N: Integers) -> Integers:
        """See `Decoding.advance`."""
        slots = len(self.ids_ST)
        placed_N, moved = place(parents_N, slots, self.compact, slots) if len(parents_N) <= slots else (parents_N, True)
        if moved or (placed_N != parents_N).any():
            placed_N, chosen = np.arange(len(parents_N)), torch.from_numpy(parents_N).to(self.ids_ST.device)
            self.ids_ST = self.ids_ST[chosen]
            if self.cache is not None:
                self.cache.batch_select_indices(chosen)
        tokens_S = np.zeros(len(self.ids_ST), dtype=np.int64)
        tokens_S[placed_N] = tokens_N
        token_S1 = torch.from_numpy(tokens_S).to(self.ids_ST.device)[:, None]
        self.ids_ST = torch.cat([self.ids_ST, token_S1], 1)
        if self.cache is None:
            self.logits_SV = self.model(input_ids=self.ids_ST).logits[:, -1]
        else:
            output = self.model(input_ids=token_S1, past_key_values=self.cache, use_cache=True)
            self.cache, self.logits_SV = output.past_key_values, output.logits[:, -1]
        return placed_N
