"""What a reading model makes of a text: log-probabilities, entropies, certainty and hidden states of its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from oneshot_rlvr.policy import Policy
from oneshot_rlvr.policy.attention import backbone, output_layer
from oneshot_rlvr.policy.forward import pad_right
from oneshot_rlvr.policy.logprobs import token_certainty, token_scores
from oneshot_rlvr.problems import Problem, Template, encode_prompt
from oneshot_rlvr.selectors.paths import PathGroup, ReasoningPath

TOKENS = 4096  # of a batch, prompts among them
LONGEST = 4096  # tokens of a text, where the model sets no limit; what is longer is read to there


@dataclass(frozen=True)
class Reading:
    """Of a text after its prompt, all at temperature 1: log-probability, entropy and certainty of each token [T], and
    the last hidden state after each [T, H]."""

    logprobs_T: NDArray[np.float32]
    entropies_T: NDArray[np.float32]
    certainty_T: NDArray[np.float32]
    states_TH: NDArray[np.float32]


class Reader:
    """Reads solutions with a frozen model. What it says is a function of question and text alone: a text is encoded
    anew, so that a rollout and a stranger's solution of the same words are read alike."""

    def __init__(self, policy: Policy, template: Template) -> None:
        self.policy, self.template = policy, template
        self.longest = policy.longest or LONGEST

    def read(
        self, problem: Problem, texts: Sequence[str], heard: Callable[[int], None] = lambda tokens: None
    ) -> list[Reading]:
        """A reading of each text, in order; equal texts are read once. An empty text's has no tokens."""
        prompt = tuple(encode_prompt(self.template, problem.question, self.policy.tokenizer))
        room = max(self.longest - len(prompt), 1)
        ids_of = {text: tuple(self._encode(text)[:room]) for text in dict.fromkeys(texts)}
        found: dict[str, Reading] = {text: self._nothing() for text, ids in ids_of.items() if not ids}
        waiting = sorted((text for text, ids in ids_of.items() if ids), key=lambda text: len(ids_of[text]))
        while waiting:
            longest = len(prompt) + len(ids_of[waiting[-1]])
            batch = [waiting.pop() for _ in range(min(len(waiting), max(1, TOKENS // longest)))]
            readings = self._read(prompt, [ids_of[text] for text in batch])
            found |= dict(zip(batch, readings, strict=True))
            heard(sum(len(ids_of[text]) for text in batch))
        return [found[text] for text in texts]

    def measured(self, group: PathGroup, states: bool = True) -> PathGroup:
        """The group with every path measured; `states` keeps the last hidden state of each."""
        readings = self.read(group.problem, [path.text for path in group.paths])
        return PathGroup(
            group.problem, [_measured(p, reading, states) for p, reading in zip(group.paths, readings, strict=True)]
        )

    def tokens(self, text: str) -> list[str]:
        """A text cut where its tokens end, as `read` has them: for evidence token by token."""
        decode = self.policy.tokenizer.decode
        ids = self._encode(text)
        ends = [len(decode(ids[: place + 1])) for place in range(len(ids))]
        return [text[start:end] for start, end in pairwise([0, *ends])]

    def _encode(self, text: str) -> list[int]:
        return self.policy.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _nothing(self) -> Reading:
        none = np.zeros(0, np.float32)
        hidden = self.policy.model.config.get_text_config().hidden_size
        return Reading(none, none, none, np.zeros((0, hidden), np.float32))

    @torch.no_grad()
    def _read(self, prompt: tuple[int, ...], responses: Sequence[tuple[int, ...]]) -> list[Reading]:
        policy = self.policy
        ids_BT, mask_BT = pad_right([(*prompt, *ids) for ids in responses], policy.device)
        with policy.autocast():
            states_BTH = backbone(policy.model)(
                input_ids=ids_BT, attention_mask=mask_BT.long(), use_cache=False
            ).last_hidden_state
            before_BTH, targets_BT = states_BTH[:, len(prompt) - 1 : -1], ids_BT[:, len(prompt) :]
            real_BT = mask_BT[:, len(prompt) :]
            head = output_layer(policy.model)
            logprobs_N, entropies_N = token_scores(head, before_BTH[real_BT], targets_BT[real_BT], 1.0)
            certainty_N = token_certainty(head, before_BTH[real_BT], 1.0)
        after_NH = states_BTH[:, len(prompt) :][real_BT]
        lengths = [len(ids) for ids in responses]
        columns = [tensor.float().cpu().split(lengths) for tensor in (logprobs_N, entropies_N, certainty_N, after_NH)]
        return [Reading(*(part.numpy() for part in parts)) for parts in zip(*columns, strict=True)]


def _measured(path: ReasoningPath, reading: Reading, states: bool) -> ReasoningPath:
    read = len(reading.logprobs_T) > 0
    hidden = reading.states_TH[-1] if read else np.zeros(reading.states_TH.shape[1], np.float32)
    return replace(
        path,
        tokens=path.tokens or len(reading.logprobs_T),
        logprobs=tuple(reading.logprobs_T.tolist()),
        entropies=tuple(reading.entropies_T.tolist()),
        certainty=float(reading.certainty_T.mean()) if read else 0.0,
        state=hidden if states else None,
    )
