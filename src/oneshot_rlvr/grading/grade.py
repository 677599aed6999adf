"""One response's grade: extract the answer, compare it with the gold, ask the reward function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from oneshot_rlvr.grading.equivalence import canonical, quick_equal
from oneshot_rlvr.grading.rewards import Reward, accuracy
from oneshot_rlvr.grading.worker import SymbolicWorker
from oneshot_rlvr.problems import Problem, Template
from oneshot_rlvr.problems.answers import after_hash, last_boxed

Outcome = Literal["correct", "wrong", "no_answer", "truncated", "timeout", "unscorable"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Response:
    """What a reward function sees of a rollout: its text alone (never the prompt), its verdict, its size."""

    text: str
    finish: Literal["stop", "length"]
    tokens: int
    outcome: Outcome = "no_answer"
    extracted: str | None = None


@dataclass(frozen=True)
class Grade:
    """The verdict on one response. `reward` is None when the reward function calls it unscorable."""

    outcome: Outcome
    reward: float | None
    extracted: str | None


def extract(text: str, template: Template) -> str | None:
    """The answer in a response, where its template asks for it; None when there is none."""
    if template.think:
        _, closed, text = text.rpartition("</think>")
        if not closed:
            return None
    return last_boxed(text) if template.answer == "box" else after_hash(text)


class Grader:
    """Grades responses under one template and reward. Identical text is graded once a call."""

    def __init__(self, template: Template, reward: Reward = accuracy, timeout: float = 3.0) -> None:
        self.template = template
        self.reward = reward
        self._worker = SymbolicWorker(timeout)
        self._verdicts: dict[tuple[str, str], bool | None] = {}

    def scorable(self, problem: Problem) -> bool:
        """Whether the gold says anything once canonical."""
        return bool(canonical(problem.answer))

    def outcome(self, text: str, finish: str, problem: Problem) -> tuple[Outcome, str | None]:
        """The verdict on a response, and the answer found in it."""
        if not self.scorable(problem):
            return "unscorable", None
        answer = extract(text, self.template)
        if answer is None:
            return ("truncated" if finish == "length" else "no_answer"), None
        equal = quick_equal(answer, problem.answer)
        if equal is None:
            equal = self._ask(answer, problem.answer)
        return ("timeout" if equal is None else "correct" if equal else "wrong"), answer

    def grade(self, problem: Problem, responses: Sequence[Response]) -> list[Grade]:
        """Grade one problem's responses: outcomes first, then the reward function on all of them together."""
        seen: dict[tuple[str, str], tuple[Outcome, str | None]] = {}
        judged = []
        for response in responses:
            key = (response.text, response.finish)
            if key not in seen:
                seen[key] = self.outcome(response.text, response.finish, problem)
            judged.append(Response(response.text, response.finish, response.tokens, *seen[key]))
        rewards = self.reward(problem, judged)
        return [Grade(r.outcome, reward, r.extracted) for r, reward in zip(judged, rewards, strict=True)]

    def _ask(self, answer: str, gold: str) -> bool | None:
        key = (answer, gold)
        if key not in self._verdicts:
            if len(self._verdicts) > 100_000:
                self._verdicts.clear()
            self._verdicts[key] = self._worker.equal(answer, gold)
        return self._verdicts[key]
