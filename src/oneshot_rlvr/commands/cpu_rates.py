"""What this machine's CPU takes for one layer of a model's shape: measured, because no data sheet says it.

A small model is bound by calls and caches, a large one by the matrix rate; a layer of the very sizes has all of it.
Each is timed once in a process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from oneshot_rlvr.policy.logprobs import LOGITS_BUDGET
from oneshot_rlvr.policy.products import multiply

MOST = 0.3  # seconds of measuring each


@dataclass(frozen=True)
class Sizes:
    """A decoder layer's sizes, and the output layer's."""

    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head: int
    vocabulary: int


@dataclass(frozen=True)
class Took:
    """Seconds of one layer, and of the output layer."""

    layer: float
    output: float

    def of(self, layers: int) -> float:
        """Seconds of a whole model."""
        return layers * self.layer + self.output


def decoding(sizes: Sizes, rows: int, cached: int, dtype: torch.dtype = torch.float32) -> Took:
    """A decoding step of `rows` responses with `cached` keys each. Weights are zeros, which take no less time."""
    return _decoding(sizes, rows, cached, dtype, torch.get_num_threads())


@cache
def _decoding(sizes: Sizes, rows: int, cached: int, dtype: torch.dtype, threads: int) -> Took:
    layer, output = _weights(sizes, dtype), torch.zeros(sizes.vocabulary, sizes.hidden, dtype=dtype)
    keys = torch.zeros(rows, sizes.key_value_heads, cached, sizes.head, dtype=dtype)
    hidden = torch.zeros(rows, 1, sizes.hidden, dtype=dtype)
    with torch.no_grad():
        return Took(
            _median(lambda: _layer(sizes, layer, hidden, keys, None)),
            _median(lambda: multiply(hidden, output).log_softmax(-1)),
        )


def learning(sizes: Sizes, tokens: int, dtype: torch.dtype = torch.float32) -> tuple[Took, Took]:
    """Scoring a micro-batch of `tokens` tokens; and training on it, forwards and backwards. Logits go in chunks."""
    return _learning(sizes, tokens, dtype, torch.get_num_threads())


@cache
def _learning(sizes: Sizes, tokens: int, dtype: torch.dtype, threads: int) -> tuple[Took, Took]:
    layer = _weights(sizes, dtype)
    output = torch.zeros(sizes.vocabulary, sizes.hidden, dtype=dtype, requires_grad=True)
    hidden = torch.zeros(1, tokens, sizes.hidden, dtype=dtype, requires_grad=True)
    mask = torch.zeros(tokens, tokens, dtype=dtype)
    chunk = hidden[:, : max(1, LOGITS_BUDGET // sizes.vocabulary)].detach().requires_grad_()
    chunks = tokens / chunk.shape[1]

    def through_layer() -> Tensor:
        return _layer(sizes, layer, hidden, None, mask)

    def through_output() -> Tensor:
        return multiply(chunk, output).log_softmax(-1)

    with torch.no_grad():
        score = Took(_median(through_layer), chunks * _median(through_output))
    layer_s = _median(lambda: through_layer().sum().backward())
    return score, Took(layer_s, chunks * _median(lambda: through_output().sum().backward()))


def _weights(sizes: Sizes, dtype: torch.dtype) -> dict[str, Tensor]:
    hidden, own, shared = sizes.hidden, sizes.heads * sizes.head, sizes.key_value_heads * sizes.head
    shapes = {
        "norm": (hidden,),
        "query": (own, hidden),
        "key": (shared, hidden),
        "value": (shared, hidden),
        "out": (hidden, own),
        "gate": (sizes.intermediate, hidden),
        "up": (sizes.intermediate, hidden),
        "down": (hidden, sizes.intermediate),
    }
    return {name: torch.zeros(*shape, dtype=dtype, requires_grad=True) for name, shape in shapes.items()}


def _layer(sizes: Sizes, weights: dict[str, Tensor], rows: Tensor, keys: Tensor | None, mask: Tensor | None) -> Tensor:
    """A Qwen2 layer on (sequences, tokens, hidden); attention to `keys` where given, else among the tokens."""

    def heads(name: str, turned: bool) -> Tensor:
        found = multiply(normed, weights[name]).unflatten(-1, (-1, sizes.head)).transpose(1, 2)
        first, second = found.chunk(2, -1)
        return torch.cat((first - second, second + first), -1) if turned else found  # as rotary positions cost

    normed = rms_norm(rows, (sizes.hidden,), weights["norm"])
    query, key, value = heads("query", True), heads("key", True), heads("value", False)
    key, value = (key, value) if keys is None else (keys, keys)
    seen = scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    rows = rows + multiply(seen.transpose(1, 2).flatten(2), weights["out"])
    normed = rms_norm(rows, (sizes.hidden,), weights["norm"])
    return rows + multiply(silu(multiply(normed, weights["gate"])) * multiply(normed, weights["up"]), weights["down"])


def _median(work: Callable[[], object]) -> float:
    work()
    times: list[float] = []
    while sum(times) < MOST and len(times) < 100:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]
