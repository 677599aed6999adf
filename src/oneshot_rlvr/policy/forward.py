"""The training forward pass: log-probabilities and entropies of responses, each distinct prompt encoded once.

    with Scorer(policy, prompts, temperature) as scorer:
        for rows, responses in micro_batches:
            logprobs_BT, entropy_BT = scorer.score(rows, responses)
            loss(...).backward()
        scorer.backward()

The prompts' keys and values are leaves that micro-batches add gradients to; `scorer.backward()` then runs once through
the prompts. Gradients are those of the plain forward pass over prompt + response, which is also here (`_score_plain`)
for models that cannot share a prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import torch

from oneshot_rlvr.policy.logprobs import logit_scores, token_scores
from oneshot_rlvr.policy.model import Policy
from oneshot_rlvr.policy.prefix import SuffixView
from oneshot_rlvr.rollout.attention import Capture, activate, active, hidden_states, output_layer

Ids = tuple[int, ...]


class Scorer:
    """Scores responses to a step's prompts; see the module's text."""

    def __init__(self, policy: Policy, prompts: Sequence[Ids], temperature: float) -> None:
        self.policy, self.prompts, self.temperature = policy, list(prompts), temperature

    def __enter__(self) -> Scorer:
        if self.policy.shared_prefix:
            self._encode_prompts()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        activate(None)

    def score(self, rows: Sequence[int], responses: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
        """(logprobs_BT, entropy_BT) of `responses[b]` given `prompts[rows[b]]`; zero beyond a response's end."""
        ids_BT, mask_BT = pad_right(responses, self.policy.device)
        with self.policy.autocast():
            score = self._score_shared if self.policy.shared_prefix else self._score_plain
            logprobs_N, entropy_N = score(rows, ids_BT, mask_BT)
        zeros_BT = torch.zeros(mask_BT.shape, dtype=logprobs_N.dtype, device=mask_BT.device)
        return zeros_BT.masked_scatter(mask_BT, logprobs_N), zeros_BT.masked_scatter(mask_BT, entropy_N)

    def backward(self) -> None:
        """Carry the gradients that the micro-batches left on the prompts' keys and values through the prompts."""
        if not self.policy.shared_prefix:
            return
        activate(None)  # a recomputed prompt pass is plain causal attention
        pairs = [(tensor, leaf.grad) for tensor, leaf in self._leaves if leaf.grad is not None]
        if pairs:
            torch.autograd.backward([tensor for tensor, _ in pairs], [grad for _, grad in pairs])

    def _encode_prompts(self) -> None:
        model = self.policy.model
        prompts_PT, mask_PT = pad_right(self.prompts, self.policy.device)
        self.lengths_P = mask_PT.sum(1)
        prefix = Capture()
        with self.policy.autocast(), active(prefix):
            positions = torch.arange(prompts_PT.shape[1], device=self.policy.device).expand_as(prompts_PT)
            hidden_PTH = hidden_states(model, prompts_PT, positions)
        last_PH = hidden_PTH[torch.arange(len(self.prompts), device=self.policy.device), self.lengths_P - 1]
        graph = [*prefix.keys, *prefix.values, last_PH]
        leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in graph]
        self._leaves = list(zip(graph, leaves, strict=True))
        layers = len(prefix.keys)
        self.keys, self.values, self.last_PH = leaves[:layers], leaves[layers:-1], leaves[-1]

    def _score_shared(
        self, rows: Sequence[int], ids_BT: torch.Tensor, mask_BT: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The first token's distribution comes from the prompt's last hidden state, the rest from the response."""
        rows_B = torch.tensor(rows, device=ids_BT.device)
        hidden_BTH = self.last_PH[rows_B, None]
        if ids_BT.shape[1] > 1:
            activate(SuffixView(self.keys, self.values, self.lengths_P, rows_B))  # stays active for the backward pass
            steps = torch.arange(ids_BT.shape[1] - 1, device=ids_BT.device)
            rest = hidden_states(self.policy.model, ids_BT[:, :-1], self.lengths_P[rows_B, None] + steps)
            hidden_BTH = torch.cat([hidden_BTH, rest], 1)
        head = output_layer(self.policy.model)
        return token_scores(head, hidden_BTH[mask_BT], ids_BT[mask_BT], self.temperature)

    def _score_plain(
        self, rows: Sequence[int], ids_BT: torch.Tensor, mask_BT: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompt and response in one row, padded on the right, through the model as it comes."""
        lengths = mask_BT.sum(1).tolist()
        texts = [(*self.prompts[row], *ids[:n]) for row, ids, n in zip(rows, ids_BT.tolist(), lengths, strict=True)]
        texts_BS, read_BS = pad_right(texts, ids_BT.device)
        logits_BSV = self.policy.model(input_ids=texts_BS, attention_mask=read_BS.long(), use_cache=False).logits
        starts_B = torch.tensor([len(self.prompts[row]) for row in rows], device=ids_BT.device)
        places_BS = torch.arange(texts_BS.shape[1], device=ids_BT.device).expand_as(texts_BS)
        predicts_BS = (places_BS >= starts_B[:, None] - 1) & (places_BS < read_BS.sum(1)[:, None] - 1)
        return logit_scores(logits_BSV[predicts_BS], ids_BT[mask_BT], self.temperature)


def pad_right(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [B, T] padded with 0, and the mask of what is real."""
    lengths = torch.tensor([len(text) for text in texts], device=device)
    width = int(lengths.max())
    ids_BT = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=device)
    return ids_BT, torch.arange(width, device=device) < lengths[:, None]


@torch.no_grad()
def score_rollouts(
    policy: Policy,
    prompts: Sequence[Ids],
    rows: Sequence[int],
    responses: Sequence[Ids],
    temperature: float,
    batches: Sequence[Sequence[int]],
) -> list[torch.Tensor]:
    """Log-probabilities of each response, without gradients: the old policy's or the reference's."""
    found: list[torch.Tensor] = [torch.empty(0)] * len(responses)
    with Scorer(policy, prompts, temperature) as scorer:
        for batch in batches:
            logprobs_BT, _ = scorer.score([rows[i] for i in batch], [responses[i] for i in batch])
            for i, logprobs_T in zip(batch, logprobs_BT, strict=True):
                found[i] = logprobs_T[: len(responses[i])]
    return found
