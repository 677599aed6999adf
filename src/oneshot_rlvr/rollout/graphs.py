"""A decoding step as a CUDA graph: launched at once, not kernel by kernel. Not run on a GPU yet.

A small batch's kernels are shorter than their launches from Python, 20 or so a layer. A graph needs shapes that stay,
so slots and reach are rounded up; each pair is recorded when it is first met, into one pool of memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from oneshot_rlvr.memory import is_out_of_memory
from oneshot_rlvr.policy.attention import active, hidden_states, output_layer
from oneshot_rlvr.rollout.cache import Rectangle

REACH = 256  # places; how far all read is a multiple of it
SIZES = 8  # slots go in steps of this part of all


class GraphedForward:
    """The logits after one more token in each slot of `cache`, which has `capacity` slots and fixed shapes.

    On a CPU the same passes run without graphs, so that they can be tested.
    """

    def __init__(self, model: PreTrainedModel, cache: Rectangle, capacity: int) -> None:
        self.model, self.head, self.cache, self.capacity = model, output_layer(model), cache, capacity
        device = cache.place.device
        self.on_gpu = device.type == "cuda"
        self.pool = torch.cuda.graph_pool_handle() if self.on_gpu else None
        self.tokens_S1 = torch.zeros(capacity, 1, dtype=torch.long, device=device)
        self.positions_S1 = torch.zeros(capacity, 1, dtype=torch.long, device=device)
        self.logits_SV = torch.empty(capacity, self.head.out_features, dtype=self.head.weight.dtype, device=device)
        self.recorded: dict[tuple[int, int], Callable[[], None]] = {}

    def __call__(self, tokens_S1: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits [S, V] of the slots' tokens at `positions[:S]`; they are overwritten by the next call."""
        slots, step = len(tokens_S1), max(1, self.capacity // SIZES)
        shape = (
            min(self.capacity, -(-slots // step) * step),
            min(self.cache.longest, (self.cache.used // REACH + 1) * REACH),
        )
        self.tokens_S1[:slots] = tokens_S1
        self.positions_S1.copy_(positions[:, None])
        if shape not in self.recorded:
            self.recorded[shape] = self._record(*shape)
        self.recorded[shape]()
        return self.logits_SV[:slots]

    def _record(self, slots: int, reach: int) -> Callable[[], None]:
        def forward() -> None:
            self.cache.slots, self.cache.reach = slots, reach
            with active(self.cache):
                hidden_S1H = hidden_states(self.model, self.tokens_S1[:slots], self.positions_S1[:slots])
            self.logits_SV[:slots] = self.head(hidden_S1H[:, 0])

        if not self.on_gpu:
            return forward
        side = torch.cuda.Stream()  # libraries set themselves up outside the recording
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            forward()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool):
                forward()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            warnings.warn(f"decoding goes on without CUDA graphs: {error}", stacklevel=2)
            self.on_gpu = False
            return forward
        return graph.replay
