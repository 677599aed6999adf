"""The lockstep sampler: all rollouts of a wave take their t-th token together.

Each distinct prompt is encoded once; keys and values live in one preallocated rectangle; finished rows are compacted
away. Models whose attention is not plain and full take the plain path: one prompt at a time, their own cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from oneshot_rlvr.rollout.attention import Capture, Rectangle, active, hidden_states, output_layer
from oneshot_rlvr.rollout.draw import draw
from oneshot_rlvr.rollout.randomness import fold, uniforms
from oneshot_rlvr.rollout.types import Prompt, Rollout, SamplingParams

COMPACT_BELOW = 0.75  # live rows, as a fraction of the rectangle's rows


class SamplingPolicy(Protocol):
    """What a sampler needs of a policy."""

    model: PreTrainedModel
    tokenizer: Any
    stop_ids: tuple[int, ...]
    shared_prefix: bool

    def autocast(self) -> Any:
        """A context in which the model computes."""
        ...


class LockstepSampler:
    """Samples from a policy in this process; see the module's text. `kv_cache_gib` bounds a wave's keys and values."""

    def __init__(self, policy: SamplingPolicy, kv_cache_gib: float = 8.0) -> None:
        self.policy = policy
        self.kv_cache_bytes = kv_cache_gib * 2**30

    def update(self, policy: SamplingPolicy) -> None:
        """Sample from these weights from now on (the trainer's own, so that nothing is copied)."""
        self.policy = policy

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[list[Rollout]]:
        """`n` rollouts of each prompt, in the prompts' order."""
        rows = [(index, copy) for index in range(len(prompts)) for copy in range(n)]
        rows.sort(key=lambda row: len(prompts[row[0]].ids))
        found: dict[tuple[int, int], Rollout] = {}
        decode_text = _Decoder(self.policy.tokenizer)
        training = self.policy.model.training
        self.policy.model.eval()  # gradient checkpointing, a training mode, would drop the plain path's cache
        with self.policy.autocast():
            for wave in self._waves(prompts, rows, params):
                for row, (ids, logprobs, stopped) in zip(wave, self._sample_wave(prompts, wave, params), strict=True):
                    prompt = prompts[row[0]]
                    finish = "stop" if stopped else "length"
                    found[row] = Rollout(prompt.problem_id, prompt.ids, ids, logprobs, decode_text(ids), finish)
        self.policy.model.train(training)
        return [[found[index, copy] for copy in range(n)] for index in range(len(prompts))]

    def _waves(
        self, prompts: Sequence[Prompt], rows: list[tuple[int, int]], params: SamplingParams
    ) -> list[list[tuple[int, int]]]:
        """Split rows, sorted by prompt length, so that a wave fits the memory; on the plain path, one prompt a wave."""
        token_bytes = cache_bytes_per_token(self.policy.model)
        waves: list[list[tuple[int, int]]] = []
        for row in rows:
            length = len(prompts[row[0]].ids) + params.max_new_tokens
            fits = waves and (len(waves[-1]) + 1) * length * token_bytes <= self.kv_cache_bytes
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
        device = next(self.policy.model.parameters()).device
        streams = np.array([fold(prompts[index].stream, copy) for index, copy in wave], dtype=np.uint64)
        begin = self._begin_shared if self.policy.shared_prefix else self._begin_plain
        logits_BV, advance, keep = begin([prompts[index].ids for index, _ in wave], params.max_new_tokens)

        total = len(wave)
        ids_BT = torch.zeros(total, params.max_new_tokens, dtype=torch.long, device=device)
        logprobs_BT = torch.zeros(total, params.max_new_tokens, device=device)
        lengths_B = torch.zeros(total, dtype=torch.long, device=device)
        stopped_B = torch.zeros(total, dtype=torch.bool, device=device)
        stop_ids = torch.tensor(self.policy.stop_ids, device=device)
        rows = torch.arange(total, device=device)  # which wave row each live row of the rectangle is
        key = fold(*params.key)
        for t in range(params.max_new_tokens):
            numbers = torch.from_numpy(uniforms(key, streams[rows.cpu().numpy()], t)).to(device)
            token_B, logprob_B = draw(logits_BV, numbers, params.temperature, params.top_p, params.top_k)
            live_B = ~stopped_B[rows]
            live = rows[live_B]
            ids_BT[live, t], logprobs_BT[live, t] = token_B[live_B], logprob_B[live_B].to(logprobs_BT.dtype)
            lengths_B[live] = t + 1
            stopped_B[live] = torch.isin(token_B[live_B], stop_ids)
            running = (~stopped_B[rows]).nonzero().squeeze(1)
            if len(running) == 0 or t + 1 == params.max_new_tokens:
                break
            if len(running) <= COMPACT_BELOW * len(rows):
                keep(running)
                rows, token_B = rows[running], token_B[running]
            logits_BV = advance(token_B, t)
        ids, logprobs = ids_BT.tolist(), logprobs_BT.tolist()
        lengths, stopped = lengths_B.tolist(), stopped_B.tolist()
        return [(tuple(ids[i][: lengths[i]]), tuple(logprobs[i][: lengths[i]]), stopped[i]) for i in range(total)]

    def _begin_shared(
        self, row_ids: list[tuple[int, ...]], new_tokens: int
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor, int], torch.Tensor], Callable[[torch.Tensor], None]]:
        """Encode each distinct prompt once: the rows' first logits, and how to advance them and keep some of them."""
        model, head = self.policy.model, output_layer(self.policy.model)
        device = next(model.parameters()).device
        distinct = {ids: index for index, ids in enumerate(dict.fromkeys(row_ids))}
        rows_B = torch.tensor([distinct[ids] for ids in row_ids], device=device)
        lengths_P = torch.tensor([len(ids) for ids in distinct], device=device)
        width = int(lengths_P.max())
        prompts_PT = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in distinct], device=device)
        prefix = Capture()
        with active(prefix):
            hidden_PTH = hidden_states(model, prompts_PT, torch.arange(width, device=device).expand_as(prompts_PT))
        last_PH = hidden_PTH[torch.arange(len(distinct), device=device), lengths_P - 1]
        cache = Rectangle(prefix, lengths_P, rows_B, new_tokens)
        positions_B = lengths_P[rows_B]

        def advance(token_B: torch.Tensor, t: int) -> torch.Tensor:
            with active(cache):
                hidden_B1H = hidden_states(model, token_B[:, None], (positions_B + t)[:, None])
            cache.used += 1
            return head(hidden_B1H[:, 0])

        def keep(running: torch.Tensor) -> None:
            nonlocal positions_B
            cache.keep(running)
            positions_B = positions_B[running]

        return head(last_PH)[rows_B], advance, keep

    def _begin_plain(
        self, row_ids: list[tuple[int, ...]], new_tokens: int
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor, int], torch.Tensor], Callable[[torch.Tensor], None]]:
        """The same with the model's own cache, if it returns one; else every token reads the whole text again."""
        model = self.policy.model
        ids_BT = torch.tensor(row_ids, device=next(model.parameters()).device)
        output = model(input_ids=ids_BT, use_cache=True)
        cache = getattr(output, "past_key_values", None)

        def advance(token_B: torch.Tensor, t: int) -> torch.Tensor:
            nonlocal cache, ids_BT
            ids_BT = torch.cat([ids_BT, token_B[:, None]], 1)
            if cache is None:
                return model(input_ids=ids_BT).logits[:, -1]
            output = model(input_ids=token_B[:, None], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            return output.logits[:, -1]

        def keep(running: torch.Tensor) -> None:
            nonlocal ids_BT
            ids_BT = ids_BT[running]
            if cache is not None:
                cache.batch_select_indices(running)

        return output.logits[:, -1], advance, keep


def cache_bytes_per_token(model: PreTrainedModel) -> int:
    """Bytes of keys and values that one token takes in all layers; 0 for a model that has no such thing."""
    config = model.config.get_text_config()
    all_heads = getattr(config, "num_attention_heads", None)
    if all_heads is None:
        return 0
    heads = getattr(config, "num_key_value_heads", None) or all_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // all_heads
    return 2 * config.num_hidden_layers * heads * size * next(model.parameters()).element_size()


class _Decoder:
    """Token ids to text; identical responses, which a one-example run has many of, are decoded once."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.known: dict[tuple[int, ...], str] = {}

    def __call__(self, ids: tuple[int, ...]) -> str:
        if ids not in self.known:
            self.known[ids] = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return self.known[ids]
