"""One attention function for Hugging Face models that lets rollouts share their prompt's keys and values.

Registered under `NAME`, it asks the active `KeyValues` where keys and values come from: a prefix encoded once for
training, or a preallocated rectangle for decoding. Unlike a Hugging Face cache it survives gradient checkpointing, and
it builds no mask that it does not need. With nothing active it is ordinary causal attention.

Prompts of different lengths are padded on the right: the gap is masked, and positions are given explicitly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

NAME = "oneshot_shared_prefix"
# Arguments by which a model asks for attention that this function does not do.
UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias", "chunk_size")


class UnsupportedAttentionError(RuntimeError):
    """The model's attention is not plain full attention."""


class KeyValues(Protocol):
    """Where an attention layer's keys and values come from."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """Attention output [B, H, T, D] for query [B, H, T, D] and the new key, value [B, Hkv, T, D]."""
        ...


_active: KeyValues | None = None


def activate(source: KeyValues | None) -> None:
    """Use `source` until the next call. A backward pass that recomputes the forward pass needs it still active."""
    global _active
    _active = source


@contextmanager
def active(source: KeyValues) -> Iterator[None]:
    """Use `source` within the block."""
    activate(source)
    try:
        yield
    finally:
        activate(None)


def repeat_heads(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Keys or values [B, Hkv, T, D] for each of `heads` query heads."""
    batch, own, length, width = tensor.shape
    if own == heads:
        return tensor
    return tensor[:, :, None].expand(batch, own, heads // own, length, width).reshape(batch, heads, length, width)


def causal_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None) -> torch.Tensor:
    """Ordinary causal attention, without a mask."""
    key, value = repeat_heads(key, query.shape[1]), repeat_heads(value, query.shape[1])
    return scaled_dot_product_attention(query, key, value, is_causal=query.shape[2] > 1, scale=scale)


def _attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    asked = [name for name in UNSUPPORTED if options.get(name) is not None]
    if asked or attention_mask is not None:
        raise UnsupportedAttentionError(f"the attention layers use {', '.join(asked) or 'a mask of their own'}")
    scale = options.get("scaling")
    if _active is None:
        output = causal_attention(query, key, value, scale)
    else:
        output = _active.attend(module.layer_idx, query, key, value, scale)
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attention)


class Capture:
    """Causal attention that keeps each layer's keys and values: the pass over the prompts."""

    def __init__(self) -> None:
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """See `KeyValues.attend`."""
        assert layer == len(self.keys), "attention layers must run in order, once each"
        self.keys.append(key)
        self.values.append(value)
        return causal_attention(query, key, value, scale)


def backbone(model: PreTrainedModel) -> torch.nn.Module:
    """The model without its output layer."""
    return getattr(model, model.base_model_prefix)


def output_layer(model: PreTrainedModel) -> torch.nn.Linear:
    """The layer from hidden states to logits."""
    layer = model.get_output_embeddings()
    assert isinstance(layer, torch.nn.Linear), "the model has no linear output layer"
    return layer


def hidden_states(model: PreTrainedModel, ids_BT: torch.Tensor, positions_BT: torch.Tensor) -> torch.Tensor:
    """The last hidden states [B, T, hidden] under the active keys and values."""
    return backbone(model)(input_ids=ids_BT, position_ids=positions_BT, use_cache=False).last_hidden_state
