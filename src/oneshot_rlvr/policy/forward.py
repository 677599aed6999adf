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

import numpy as np
import torch

from oneshot_rlvr.policy.attention import Capture, activate, active, hidden_states, output_layer
from oneshot_rlvr.policy.logprobs import LOGITS_BUDGET, certainty, logit_scores, token_certainty, token_scores
from oneshot_rlvr.policy.model import Policy
from oneshot_rlvr.policy.prefix import SuffixView
from oneshot_rlvr.policy.trie import Tries, build_tries

Ids = tuple[int, ...]


class Scorer:
    """Scores responses to a step's prompts; see the module's text."""

    def __init__(
        self, policy: Policy, prompts: Sequence[Ids], temperature: float, logits_budget: int = LOGITS_BUDGET
    ) -> None:
        self.policy, self.prompts, self.temperature = policy, list(prompts), temperature
        self.logits_budget = logits_budget

    def __enter__(self) -> Scorer:
        if self.policy.shared_prefix:
            self._encode_prompts()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        activate(None)
        if self.policy.shared_prefix:  # two steps' prompts are not held at once
            self._leaves, self.keys, self.values, self.last_PH = [], [], [], torch.empty(0)

    def score(self, rows: Sequence[int], responses: Sequence[Ids], as_tries: bool = False) -> tuple[torch.Tensor, ...]:
        """(logprobs_BT, entropy_BT) of `responses[b]` given `prompts[rows[b]]`; zero beyond a response's end.

        `as_tries` computes once what responses to a prompt begin with in common; the result is the same.
        """
        ids_BT, mask_BT = pad_right(responses, self.policy.device)
        with self.policy.autocast():
            if as_tries and self.policy.shared_prefix:
                scores = self._score_tries(build_tries(rows, responses))
            else:
                score = self._score_shared if self.policy.shared_prefix else self._score_plain
                scores = score(rows, ids_BT, mask_BT)
        zeros_BT = torch.zeros(mask_BT.shape, dtype=scores[0].dtype, device=mask_BT.device)
        return tuple(zeros_BT.masked_scatter(mask_BT, score_N) for score_N in scores)

    def _read(self, states_NH: torch.Tensor, targets_N: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What is wanted of the states before some tokens."""
        head = output_layer(self.policy.model)
        return token_scores(head, states_NH, targets_N, self.temperature, self.logits_budget)

    def _read_logits(self, logits_NV: torch.Tensor, targets_N: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The same, where the model has made logits of the states."""
        return logit_scores(logits_NV, targets_N, self.temperature)

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
    ) -> tuple[torch.Tensor, ...]:
        """The first token's distribution comes from the prompt's last hidden state, the rest from the response."""
        rows_B = torch.tensor(rows, device=ids_BT.device)
        hidden_BTH = self.last_PH[rows_B, None]
        if ids_BT.shape[1] > 1:
            activate(SuffixView(self.keys, self.values, self.lengths_P, rows_B))  # stays active for the backward pass
            steps = torch.arange(ids_BT.shape[1] - 1, device=ids_BT.device)
            rest = hidden_states(self.policy.model, ids_BT[:, :-1], self.lengths_P[rows_B, None] + steps)
            hidden_BTH = torch.cat([hidden_BTH, rest], 1)
        return self._read(hidden_BTH[mask_BT], ids_BT[mask_BT])

    def _score_tries(self, tries: Tries) -> tuple[torch.Tensor, ...]:
        """Scores of the nodes, given to every response that passes through them."""
        device = self.policy.device
        prompts_W = torch.tensor(tries.prompts_W, device=device)
        states_NH = self.last_PH[prompts_W]
        parents = np.where(tries.parents_M >= 0, tries.parents_M + len(prompts_W), -1 - tries.parents_M)
        if tries.ids_WN.size:
            ids_WN, depth_WN, ancestors_WNN = (
                torch.from_numpy(array).to(device) for array in (tries.ids_WN, tries.depth_WN, tries.ancestors_WNN)
            )
            activate(SuffixView(self.keys, self.values, self.lengths_P, prompts_W, ancestors_WNN))
            rest = hidden_states(self.policy.model, ids_WN, self.lengths_P[prompts_W, None] + depth_WN)
            states_NH = torch.cat([states_NH, rest.flatten(0, 1)])
        states_MH = states_NH[torch.from_numpy(parents).to(device)]
        nodes_N = torch.tensor([node for nodes in tries.nodes_B for node in nodes], device=device)
        scores = self._read(states_MH, torch.from_numpy(tries.targets_M).to(device))
        return tuple(score_M[nodes_N] for score_M in scores)

    def _score_plain(
        self, rows: Sequence[int], ids_BT: torch.Tensor, mask_BT: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Prompt and response in one row, padded on the right, through the model as it comes."""
        lengths = mask_BT.sum(1).tolist()
        texts = [(*self.prompts[row], *ids[:n]) for row, ids, n in zip(rows, ids_BT.tolist(), lengths, strict=True)]
        texts_BS, read_BS = pad_right(texts, ids_BT.device)
        logits_BSV = self.policy.model(input_ids=texts_BS, attention_mask=read_BS.long(), use_cache=False).logits
        starts_B = torch.tensor([len(self.prompts[row]) for row in rows], device=ids_BT.device)
        places_BS = torch.arange(texts_BS.shape[1], device=ids_BT.device).expand_as(texts_BS)
        predicts_BS = (places_BS >= starts_B[:, None] - 1) & (places_BS < read_BS.sum(1)[:, None] - 1)
        return self._read_logits(logits_BSV[predicts_BS], ids_BT[mask_BT])


class EntropyScorer(Scorer):
    """The entropy of each token's distribution, [B, T], in nats."""

    def _read(self, states_NH: torch.Tensor, targets_N: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return super()._read(states_NH, targets_N)[1:]

    def _read_logits(self, logits_NV: torch.Tensor, targets_N: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return super()._read_logits(logits_NV, targets_N)[1:]


class CertaintyScorer(Scorer):
    """KL(uniform || distribution) of each token, [B, T], in nats. It carries no gradient."""

    def _read(self, states_NH: torch.Tensor, targets_N: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (token_certainty(output_layer(self.policy.model), states_NH, self.temperature, self.logits_budget),)

    def _read_logits(self, logits_NV: torch.Tensor, targets_N: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (certainty(logits_NV, self.temperature),)


class ValueScorer(Scorer):
    """Values of a critic (`critic.py`), [B, T]: of the state before each token of a response."""

    def _read(self, states_NH: torch.Tensor, targets_N: torch.Tensor) -> tuple[torch.Tensor, ...]:
        head = output_layer(self.policy.model)
        return self._read_logits(head(states_NH.to(head.weight.dtype)), targets_N)

    def _read_logits(self, logits_NV: torch.Tensor, targets_N: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values_N = logits_NV[:, 0]
        return (values_N.float() if values_N.dtype in (torch.bfloat16, torch.float16) else values_N,)


def pad_right(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [B, T] padded with 0, and the mask of what is real."""
    lengths = torch.tensor([len(text) for text in texts], device=device)
    width = int(lengths.max())
    ids_BT = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=device)
    return ids_BT, torch.arange(width, device=device) < lengths[:, None]
