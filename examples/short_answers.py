"""A reward: right answers earn one, and lose a tenth for every ten tokens beyond twenty.

oneshot train grpo --model tiny --reward short_answers:short --steps 4
"""

from __future__ import annotations

from collections.abc import Sequence

from oneshot_rlvr.grading import Response
from oneshot_rlvr.problems import Problem


def short(problem: Problem, responses: Sequence[Response]) -> list[float | None]:
    """One number for each response of a group; None leaves a response out of the baseline."""
    return [
        max(0.0, 1.0 - max(0, response.tokens - 20) / 100) if response.outcome == "correct" else 0.0
        for response in responses
    ]
