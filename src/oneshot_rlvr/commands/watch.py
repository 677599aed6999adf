"""Says when a run has nothing to learn from: five steps in a row of one sign, with one response and the setting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from oneshot_rlvr.runs import Run

STEPS = 5
SHOWN = 200  # characters of the response
Metrics = dict[str, float]


def _sign(metrics: Metrics) -> tuple[str, str] | None:
    """What is wrong with a step that teaches nothing, and what to try."""
    if not metrics["group/sampled"] or metrics["group/zero_variance_fraction"] < 1:
        return None
    if metrics["reward/mean"] > 0:
        return "the rewards of every group were equal", "The example may be solved: stop, or take a harder one."
    if metrics["response/truncated_fraction"] == 1:
        return "every response was cut off", "Try a larger sampling.max_new_tokens, or another model.template."
    if metrics["outcome/no_answer"] == 1:
        return "no response had an answer", "Try another model.template: chat for a chat model."
    return "nothing was rewarded", "Try an easier example, more rollouts (batch.group_size) or another model.template."


@dataclass
class Watch:
    """Counts signs over the steps of a run; each is said once."""

    run: Run
    count: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __call__(self, step: int, metrics: Metrics) -> str | None:
        """A warning, at the fifth step of the same sign in a row."""
        sign = _sign(metrics)
        for other in [other for other in self.count if other != sign and self.count[other] < STEPS]:
            del self.count[other]
        if sign is None:
            return None
        self.count[sign] += 1
        if self.count[sign] != STEPS:
            return None
        text = next(iter(self.run.rollouts(step)))["text"]
        return f"Warning: {STEPS} steps in which {sign[0]}. {sign[1]} A response of step {step}: {text[:SHOWN]!r}"
