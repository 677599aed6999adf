"""One token at a time for the distinct histories of a wave, each in a slot of a key-value cache.

`SharedDecoding` keeps keys and values in one preallocated rectangle and encodes each prompt once; `PlainDecoding` is
for models whose attention is not plain and full: one prompt, the model's own cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

from oneshot_rlvr.rollout.attention import Capture, active, hidden_states, output_layer

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
    """See the module's text. `capacity` slots have room for a prompt and `new_tokens` each."""

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[tuple[int, ...]], capacity: int, new_tokens: int, compact: float
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
        self.cache = kind(prefix, lengths_P, capacity, new_tokens)

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
        self.cache.slots = self.slots
        with active(self.cache):
            hidden_S1H = hidden_states(
                self.model, torch.from_numpy(tokens_S).to(self.device)[:, None], self.positions[: self.slots, None]
            )
        self.cache.used += 1
        self.positions += 1
        self.logits_SV = self.head(hidden_S1H[:, 0])
        return placed_N


class Rectangle:
    """Preallocated keys and values of `capacity` slots: all slots write place `used` and read up to it.

    No `torch.cat` a step. The first slots hold the prompts of `prefix`, padded on the right; the gap is masked.
    """

    def __init__(self, prefix: Capture, lengths_P: torch.Tensor, capacity: int, new_tokens: int) -> None:
        width = prefix.keys[0].shape[2]
        self.used, self.slots = width, len(lengths_P)
        self.keys = [self._allocate(tensor, capacity, new_tokens) for tensor in prefix.keys]
        self.values = [self._allocate(tensor, capacity, new_tokens) for tensor in prefix.values]
        self.mask = None
        if bool((lengths_P != width).any()):
            places = torch.arange(width + new_tokens, device=lengths_P.device)
            self.mask = torch.zeros(capacity, 1, 1, width + new_tokens, dtype=torch.bool, device=lengths_P.device)
            self.mask[: self.slots, 0, 0] = (places < lengths_P[:, None]) | (places >= width)

    @staticmethod
    def _allocate(prefix: torch.Tensor, capacity: int, new_tokens: int) -> torch.Tensor:
        count, heads, width, size = prefix.shape
        rectangle = prefix.new_empty(capacity, heads, width + new_tokens, size)
        rectangle[:count, :, :width] = prefix
        return rectangle

    def copy(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Give the slots `targets` the histories of the slots `sources`."""
        for tensor in (*self.keys, *self.values):
            tensor[targets, :, : self.used] = tensor[sources, :, : self.used]
        if self.mask is not None:
            self.mask[targets] = self.mask[sources]

    def _written(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The live slots' keys and values with the new ones."""
        keys, values = self.keys[layer][: self.slots], self.values[layer][: self.slots]
        keys[:, :, self.used], values[:, :, self.used] = key[:, :, 0], value[:, :, 0]
        return keys[:, :, : self.used + 1], values[:, :, : self.used + 1]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """See `KeyValues.attend`; T is 1. Query heads that share a key head are its query positions: no copies."""
        keys, values = self._written(layer, key, value)
        slots, heads, _, size = query.shape
        grouped = query.view(slots, keys.shape[1], heads // keys.shape[1], size)
        mask = None if self.mask is None else self.mask[:slots, ..., : keys.shape[2]]
        output = scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scale)
        return output.reshape(slots, heads, 1, size)


class OnePrompt(Rectangle):
    """A rectangle for responses alone: all attend to one prompt, whose keys and values are read once for all."""

    def __init__(self, prefix: Capture, lengths_P: torch.Tensor, capacity: int, new_tokens: int) -> None:
        self.prompt = list(zip(prefix.keys, prefix.values, strict=True))
        nothing = Capture()
        nothing.keys = [tensor[:, :, :0] for tensor in prefix.keys]
        nothing.values = [tensor[:, :, :0] for tensor in prefix.values]
        super().__init__(nothing, torch.zeros_like(lengths_P), capacity, new_tokens)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """See `KeyValues.attend`: one softmax over the prompt's scores, [Hkv, S g, L], and the response's own."""
        keys, values = self._written(layer, key, value)
        prompt_keys, prompt_values = (tensor[0] for tensor in self.prompt[layer])
        (slots, own, _, size), heads = keys.shape, query.shape[1]
        grouped = query.view(slots, own, heads // own, size) * (size**-0.5 if scale is None else scale)
        by_head = grouped.transpose(0, 1).reshape(own, -1, size)
        to_prompt = (by_head @ prompt_keys.transpose(1, 2)).view(own, slots, heads // own, -1).transpose(0, 1)
        scores = torch.cat([to_prompt, grouped @ keys.transpose(2, 3)], -1)
        weights = scores.float().softmax(-1).to(query.dtype)
        length = prompt_keys.shape[1]
        from_prompt = weights[..., :length].transpose(0, 1).reshape(own, -1, length) @ prompt_values
        output = from_prompt.view(own, slots, -1, size).transpose(0, 1) + weights[..., length:] @ values
        return output.reshape(slots, heads, 1, size)


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
