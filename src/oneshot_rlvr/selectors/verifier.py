"""A generative verifier: a language model that was trained to say whether a solution is right, read at its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from oneshot_rlvr.config import ModelSection
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.policy import Policy, load_policy
from oneshot_rlvr.policy.attention import backbone, output_layer
from oneshot_rlvr.policy.forward import pad_right
from oneshot_rlvr.problems import Problem, encode_prompt, get_template, to_jsonl
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.selectors.base import SELECTORS, Training
from oneshot_rlvr.selectors.measure import TOKENS
from oneshot_rlvr.selectors.paths import ReasoningPath
from oneshot_rlvr.selectors.verdicts import verdict_question, verdict_template, verdicts

Scale = Literal["signed", "brier"]
DIGITS = {"signed": ("0", "1"), "brier": tuple("0123456789")}


class Verifier:
    """The probability that the model's verdict gives: of 1 against 0, or the expected digit over 9."""

    pathwise, reads = True, True

    def __init__(self, section: ModelSection, template: str, scale: Scale) -> None:
        self.section, self.template, self.scale = section, template, scale
        self._policy: Policy | None = None
        self._known: dict[tuple[str, str], float] = {}

    @property
    def policy(self) -> Policy:
        """The model, loaded when it is first asked."""
        if self._policy is None:
            self._policy = load_policy(self.section)
        return self._policy

    def scores(self, problem: Problem, paths: Sequence[ReasoningPath]) -> list[float]:
        """See `Selector`; equal texts are asked once.

        Raises:
            OneshotError: a digit is not one token of the model's.
        """
        question = problem.question
        missing = [t for t in dict.fromkeys(p.text for p in paths) if (question, t) not in self._known]
        template = get_template(verdict_template(self.template))
        asked = [verdict_question(self.template, self.scale, question, text) for text in missing]
        prompts = [encode_prompt(template, text, self.policy.tokenizer) for text in asked]
        order = sorted(range(len(missing)), key=lambda i: len(prompts[i]))
        while order:
            batch = [order.pop() for _ in range(min(len(order), max(1, TOKENS // len(prompts[order[-1]]))))]
            for place, score in zip(batch, self._ask([prompts[i] for i in batch]), strict=True):
                self._known[question, missing[place]] = score
        return [self._known[question, path.text] for path in paths]

    @torch.no_grad()
    def _ask(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        policy = self.policy
        digits = [self._token(digit) for digit in DIGITS[self.scale]]
        longest = policy.longest or max(map(len, prompts))
        ids_BT, mask_BT = pad_right([prompt[-longest:] for prompt in prompts], policy.device)
        with policy.autocast():
            states_BTH = backbone(policy.model)(
                input_ids=ids_BT, attention_mask=mask_BT.long(), use_cache=False
            ).last_hidden_state
            last_BH = states_BTH[torch.arange(len(prompts)), mask_BT.sum(1) - 1]
            logits_BD = output_layer(policy.model)(last_BH)[:, digits].float()
        values_D = torch.linspace(0, 1, len(digits), device=logits_BD.device)
        return (logits_BD.softmax(-1) @ values_D).tolist()

    def _token(self, digit: str) -> int:
        ids = self.policy.tokenizer(digit, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            raise OneshotError(
                f"the digit {digit} is {len(ids)} tokens of this model's",
                where="selector verifier",
                fix="Use a probe for this model.",
            )
        return ids[0]


@SELECTORS.register("verifier", learns=True, trains=True)
def verifier(
    training: Training,
    *,
    shots: int | None = None,
    reward: Scale = "signed",
    steps: int = 100,
    faster: float = 5.0,
    entropy: float = 0.02,
) -> Verifier:
    """A language model trained with GRPO to judge solutions (GenRM, arXiv 2408.15240; Heimdall, 2504.10337): `signed`
    pays 1 or -1 for a verdict, `brier` 1 - (p - y)^2 for a probability in ninths (RLCR, 2507.16806). The score is read
    off the verdict's distribution, not sampled. A verdict is one token: it is learned `faster` than the model's profile
    says, and without a bonus for `entropy` the verifier soon says always the same."""
    if training.learner is None:
        raise OneshotError(
            "a verifier is trained from a model, and none is given",
            where="selector verifier",
            fix="Give --model, and --train PATHS.",
        )
    groups = training.chosen(shots)
    made = verdicts(groups, training.learner.template, reward, training.seed, training.learner.fits)
    settings: dict[str, Any] = {
        "run.steps": steps,
        "run.seed": training.seed,
        "algorithm.reward": f"verdict(scale='{reward}')",
        "algorithm.entropy_coefficient": entropy,
        "optimizer.learning_rate": faster * training.learner.rate,
    }
    if not made:
        raise OneshotError(
            "no problem has a right and a wrong path that fit the verifier",
            where="selector verifier",
            fix="Collect more.",
        )
    which = "full" if shots is None else shots
    name = f"verifier-{reward}-{which}-{training.seed}-{fold(repr(settings), to_jsonl(made)) % 2**32:08x}"
    return Verifier(training.learner.train(name, made, settings), training.learner.template, reward)
