"""Preallocated keys and values for decoding."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from oneshot_rlvr.policy.attention import Capture


class Rectangle:
    """Preallocated keys and values of `capacity` slots: all slots write place `used` and read up to it.

    No `torch.cat` a step. The first slots hold the prompts of `prefix`, padded on the right; the gap is masked. With
    `fixed_shapes` the place is a tensor on the device and all read up to `reach`, what is beyond the place masked: then
    a pass depends on `slots` and `reach` alone, and a CUDA graph of it can be replayed.
    """

    def __init__(
        self, prefix: Capture, lengths_P: torch.Tensor, capacity: int, new_tokens: int, fixed_shapes: bool = False
    ) -> None:
        width, device = prefix.keys[0].shape[2], lengths_P.device
        self.used, self.slots, self.longest = width, len(lengths_P), width + new_tokens
        self.fixed_shapes, self.reach = fixed_shapes, self.longest
        self.place, self.places = torch.tensor([width], device=device), torch.arange(self.longest, device=device)
        self.keys = [self._allocate(tensor, capacity, new_tokens) for tensor in prefix.keys]
        self.values = [self._allocate(tensor, capacity, new_tokens) for tensor in prefix.values]
        self.mask = None
        if bool((lengths_P != width).any()):
            self.mask = torch.zeros(capacity, 1, 1, self.longest, dtype=torch.bool, device=device)
            self.mask[: self.slots, 0, 0] = (self.places < lengths_P[:, None]) | (self.places >= width)

    def _allocate(self, prefix: torch.Tensor, capacity: int, new_tokens: int) -> torch.Tensor:
        count, heads, width, size = prefix.shape
        allocate = prefix.new_zeros if self.fixed_shapes else prefix.new_empty  # weight 0 times NaN would be NaN
        rectangle = allocate(capacity, heads, width + new_tokens, size)
        rectangle[:count, :, :width] = prefix
        return rectangle

    def copy(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Give the slots `targets` the histories of the slots `sources`."""
        for tensor in (*self.keys, *self.values):
            tensor[targets, :, : self.used] = tensor[sources, :, : self.used]
        if self.mask is not None:
            self.mask[targets] = self.mask[sources]

    def written(self) -> None:
        """All layers have written this place; the next token goes to the next one."""
        self.used += 1
        self.place += 1

    def _write(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The live slots' keys and values with the new ones."""
        keys, values = self.keys[layer][: self.slots], self.values[layer][: self.slots]
        if self.fixed_shapes:
            keys.index_copy_(2, self.place, key)
            values.index_copy_(2, self.place, value)
            return keys[:, :, : self.reach], values[:, :, : self.reach]
        keys[:, :, self.used], values[:, :, self.used] = key[:, :, 0], value[:, :, 0]
        return keys[:, :, : self.used + 1], values[:, :, : self.used + 1]

    def _readable(self) -> torch.Tensor | None:
        """Which of the first `reach` places have been written, with fixed shapes; else all have."""
        return self.places[: self.reach] <= self.place if self.fixed_shapes else None

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """See `KeyValues.attend`; T is 1. Query heads that share a key head are its query positions: no copies."""
        keys, values = self._write(layer, key, value)
        slots, heads, _, size = query.shape
        grouped = query.view(slots, keys.shape[1], heads // keys.shape[1], size)
        mask, readable = None if self.mask is None else self.mask[:slots, ..., : keys.shape[2]], self._readable()
        if readable is not None:
            mask = readable.expand(slots, 1, 1, -1) if mask is None else mask & readable
        output = scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scale)
        return output.reshape(slots, heads, 1, size)


class OnePrompt(Rectangle):
    """A rectangle for responses alone: all attend to one prompt, whose keys and values are read once for all."""

    def __init__(
        self, prefix: Capture, lengths_P: torch.Tensor, capacity: int, new_tokens: int, fixed_shapes: bool = False
    ) -> None:
        self.prompt = list(zip(prefix.keys, prefix.values, strict=True))
        nothing = Capture()
        nothing.keys = [tensor[:, :, :0] for tensor in prefix.keys]
        nothing.values = [tensor[:, :, :0] for tensor in prefix.values]
        super().__init__(nothing, torch.zeros_like(lengths_P), capacity, new_tokens, fixed_shapes)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """See `KeyValues.attend`: one softmax over the prompt's scores, [Hkv, S g, L], and the response's own."""
        keys, values = self._write(layer, key, value)
        prompt_keys, prompt_values = (tensor[0] for tensor in self.prompt[layer])
        (slots, own, _, size), heads = keys.shape, query.shape[1]
        grouped = query.view(slots, own, heads // own, size) * (size**-0.5 if scale is None else scale)
        by_head = grouped.transpose(0, 1).reshape(own, -1, size)
        to_prompt = (by_head @ prompt_keys.transpose(1, 2)).view(own, slots, heads // own, -1).transpose(0, 1)
        to_own, readable = grouped @ keys.transpose(2, 3), self._readable()
        if readable is not None:
            to_own = to_own.masked_fill(~readable, -torch.inf)
        scores = torch.cat([to_prompt, to_own], -1)
        weights = scores.float().softmax(-1).to(query.dtype)
        length = prompt_keys.shape[1]
        from_prompt = weights[..., :length].transpose(0, 1).reshape(own, -1, length) @ prompt_values
        output = from_prompt.view(own, slots, -1, size).transpose(0, 1) + weights[..., length:] @ values
        return output.reshape(slots, heads, 1, size)
