"""What grading sees and says: a response, and the grade of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from oneshot_rlvr.grading.compare import Layer
from oneshot_rlvr.grading.extract import Source

Outcome = Literal["correct", "wrong", "no_answer", "truncated", "timeout", "unscorable"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Response:
    """What a reward function sees of a rollout: its text alone (never the prompt), its verdict, its size.

    `score`, 0 to 1, is that of the problem's own scorer, where it has one. `key` is the rollout's own number in
    training, the same again where it is sampled again; None where it has none.
    """

    text: str
    finish: Finish
    tokens: int
    outcome: Outcome = "no_answer"
    extracted: str | None = None
    score: float | None = None
    key: int | None = None


@dataclass(frozen=True)
class Grade:
    """The verdict on one response.

    `reward` is None when the reward function calls it unscorable. `layer` says what decided: the gold, extraction,
    string, limit, number, structure, symbolic or scorer (the problem's own, which gives `score`, 0 to 1). `source` is
    where the answer stood; `seconds` what symbolic work took.
    """

    outcome: Outcome
    reward: float | None
    extracted: str | None
    layer: Layer
    source: Source | None = None
    seconds: float = 0.0
    score: float | None = None
