"""The lockstep sampler: all rollouts of a wave take their t-th token together.

Rollouts that are alike so far are computed once: a wave starts with one history for each distinct prompt, and a history
splits where its rollouts draw different tokens. Each has a slot of the cache; the slots of finished ones are used again
or compacted away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import PreTrainedModel

from oneshot_rlvr.memory import Budget, in_pieces
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.rollout.decoding import COMPACT_BELOW, Decoding, Integers, PlainDecoding, SharedDecoding
from oneshot_rlvr.rollout.draw import draw
from oneshot_rlvr.rollout.randomness import fold, uniforms
from oneshot_rlvr.rollout.stopping import Reader, StopStrings
from oneshot_rlvr.rollout.types import Prompt, Rollout, SamplingParams


class LockstepSampler:
    """Samples from a policy in this process; see the module's text.

    `kv_cache_gib` bounds a wave's keys and values; `share_histories`, `compact` and `graphs` (CUDA graphs, on a GPU and
    where nothing is cast) are there to be switched off by benchmarks and tests.
    """

    longest: int | None = None
    costly = False
    on_tokens: Callable[[int], None] | None = None

    def __init__(
        self,
        policy: Policy,
        kv_cache_gib: float = 8.0,
        share_histories: bool = True,
        compact: bool = True,
        graphs: bool = True,
    ) -> None:
        self.policy = policy
        self.kv_cache = Budget(kv_cache_gib, 2**-20, "the memory for keys and values", "sampling.kv_cache_gib")
        self.share_histories, self.compact, self.graphs = share_histories, compact, graphs

    def update(self, policy: Policy) -> None:
        """Sample from these weights from now on (the trainer's own, so that nothing is copied)."""
        self.policy = policy

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[list[Rollout]]:
        """`n` rollouts of each prompt, in the prompts' order; in smaller waves if memory runs out.

        Raises:
            OneshotError: memory runs out with one rollout at a time.
        """
        return in_pieces(self.kv_cache, lambda: self._sample(prompts, n, params))

    def _sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[list[Rollout]]:
        rows = [(index, copy) for index in range(len(prompts)) for copy in range(n)]
        rows.sort(key=lambda row: len(prompts[row[0]].ids))
        found: dict[tuple[int, int], Rollout] = {}
        read = Reader(self.policy.tokenizer, params.markers)
        with self._evaluating(), self.policy.autocast():
            for wave in self._waves(prompts, rows, params):
                for row, (ids, logprobs, stopped) in zip(wave, self._sample_wave(prompts, wave, params), strict=True):
                    prompt, text = prompts[row[0]], params.cut(read(ids))
                    finish = "stop" if stopped else "length"
                    found[row] = Rollout(prompt.problem_id, prompt.ids, ids, logprobs, text, finish)
        return [[found[index, copy] for copy in range(n)] for index in range(len(prompts))]

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """The model in evaluation mode: gradient checkpointing, a training mode, would drop the plain path's cache."""
        training = self.policy.model.training
        self.policy.model.eval()
        try:
            yield
        finally:  # out of memory too
            self.policy.model.train(training)

    def _waves(
        self, prompts: Sequence[Prompt], rows: list[tuple[int, int]], params: SamplingParams
    ) -> list[list[tuple[int, int]]]:
        """Split rows, sorted by prompt length, so that a wave fits the memory; on the plain path, one prompt a wave."""
        token_bytes = cache_bytes_per_token(self.policy.model)
        waves: list[list[tuple[int, int]]] = []
        for row in rows:
            length = len(prompts[row[0]].ids) + params.max_new_tokens
            fits = waves and (len(waves[-1]) + 1) * length * token_bytes <= self.kv_cache.size * 2**30
            if fits and not self.policy.shared_prefix:
                fits = prompts[waves[-1][0][0]].ids == prompts[row[0]].ids
            if fits:
                waves[-1].append(row)
            else:
                waves.append([row])
        return waves

    def _sample_wave(
        self, prompts: Sequence[Prompt], wave: list[tuple[int, int]], params: SamplingParams
    ) -> list[tuple[tuple[int, ...], tuple[float, ...], bool]]:
        """(token ids, log-probabilities, whether it stopped) for each row."""
        total, key = len(wave), fold(*params.seed)
        stop_ids = np.array([*self.policy.stop_ids, *params.stop_ids])
        stop_strings = StopStrings(self.policy.tokenizer, params.stop_strings)
        streams_B = np.array([prompts[index].key(copy) for index, copy in wave], dtype=np.uint64)
        distinct = {ids: i for i, ids in enumerate(dict.fromkeys(prompts[index].ids for index, _ in wave))}
        decoding = self._decoding(list(distinct), total, params.max_new_tokens)
        ids_BT = np.zeros((total, params.max_new_tokens), dtype=np.int64)
        logprobs_BT = np.zeros((total, params.max_new_tokens))
        lengths_B, stopped_B = np.zeros(total, dtype=np.int64), np.zeros(total, dtype=bool)
        rows = np.arange(total)  # that go on
        slots = np.array([distinct[prompts[index].ids] for index, _ in wave])  # each row's history
        for t in range(params.max_new_tokens):
            numbers = uniforms(key, streams_B[rows], t)
            tokens, logprobs = draw(decoding.logits_SV, slots, numbers, params.temperature, params.top_p, params.top_k)
            ids_BT[rows, t], logprobs_BT[rows, t], lengths_B[rows] = tokens, logprobs, t + 1
            if self.on_tokens is not None:
                self.on_tokens(len(rows))
            stops = (tokens[:, None] == stop_ids).any(1)
            if params.stop_strings:
                stops |= stop_strings.end(ids_BT[rows, : t + 1])
            stopped_B[rows[stops]] = True
            rows, slots, tokens = rows[~stops], slots[~stops], tokens[~stops]
            if len(rows) == 0 or t + 1 == params.max_new_tokens:
                break
            parents, tokens, which = self._histories(slots, tokens)
            slots = decoding.advance(parents, tokens)[which]
        ends = lengths_B.tolist()
        return [
            (tuple(ids_BT[i, :end].tolist()), tuple(logprobs_BT[i, :end].tolist()), bool(stopped_B[i]))
            for i, end in enumerate(ends)
        ]

    def _decoding(self, prompts: list[tuple[int, ...]], rows: int, new_tokens: int) -> Decoding:
        compact = COMPACT_BELOW if self.compact else -1.0
        if self.policy.shared_prefix:
            on_gpu = next(self.policy.model.parameters()).device.type == "cuda"
            graphs = self.graphs and on_gpu and not torch.is_autocast_enabled("cuda")
            return SharedDecoding(self.policy.model, prompts, rows, new_tokens, compact, graphs)
        return PlainDecoding(self.policy.model, prompts[0], compact)

    def _histories(self, slots: Integers, tokens: Integers) -> tuple[Integers, Integers, Integers]:
        """The distinct (slot, token) pairs, by slot, and which of them each row goes on with."""
        if self.share_histories:
            pairs, which = np.unique((slots << 32) | tokens, return_inverse=True)
            return pairs >> 32, pairs & 0xFFFFFFFF, which
        order = np.argsort(slots, kind="stable")
        return slots[order], tokens[order], np.argsort(order, kind="stable")


def cache_bytes_per_token(model: PreTrainedModel) -> int:
    """Bytes of keys and values that one token takes in all layers; 0 for a model that has no such thing."""
    config = model.config.get_text_config()
    all_heads = getattr(config, "num_attention_heads", None)
    if all_heads is None:
        return 0
    heads = getattr(config, "num_key_value_heads", None) or all_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // all_heads
    return 2 * config.num_hidden_layers * heads * size * next(model.parameters()).element_size()
