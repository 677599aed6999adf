"""One response's grade: extract the answer, compare it with the gold, ask the reward function."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from oneshot_rlvr.grading.compare import Layer
from oneshot_rlvr.grading.extract import Extracted, after_think, extract, nothing, with_fallback
from oneshot_rlvr.grading.modes import get_mode
from oneshot_rlvr.grading.normalise import canonical
from oneshot_rlvr.grading.pool import Question, Reply, WorkerPool
from oneshot_rlvr.grading.rewards import Reward, accuracy
from oneshot_rlvr.grading.scored import score
from oneshot_rlvr.grading.types import Finish, Grade, Outcome, Response
from oneshot_rlvr.problems import Problem, Template
from oneshot_rlvr.problems.adapters import Place, adapter_of, place_of
from oneshot_rlvr.problems.answers import after_hash, last_boxed

MOST_REMEMBERED = 100_000  # verdicts
_Pair = tuple[str, str, str]  # answer, gold, and a source that the mode compares by a rule of its own


@dataclass(frozen=True)
class _Judged:
    equal: bool | None
    layer: Layer
    seconds: float


class Grader:
    """Grades responses. Identical text is graded once; symbolic work runs in workers that are killed when late.

    With a `template`, answers are looked for where it asks for them; without one, in the last box or after `####`.
    Usable from any thread; `close` (or `with`) ends the workers, which also end with the program.
    """

    def __init__(
        self,
        template: Template | None = None,
        reward: Reward = accuracy,
        *,
        mode: str = "default",
        timeout: float = 3.0,
        workers: int | WorkerPool | None = None,
        answers: bool = False,
        fallback: bool = False,
        once: bool = True,
    ) -> None:
        """Make a grader; no process starts before a question needs one.

        Args:
            template: whose place for the answer counts.
            reward: what a group's outcomes earn.
            mode: the rules, by name (`modes.py`).
            timeout: seconds of symbolic work on one pair.
            workers: processes at most, by default one a core, up to four; or a pool, which `close` leaves to others.
            answers: the texts are bare answers; a box in one is looked into.
            fallback: take "the answer is", then the last number, where there is no box. Not for rewards.
            once: grade identical text once; off, to measure what that brings.

        Raises:
            OneshotError: there is no such mode.
        """
        self.template = template
        self.reward = reward
        self.mode = get_mode(mode)
        self.answers = answers
        self.fallback = fallback
        self.once = once
        self._shares = isinstance(workers, WorkerPool)
        self.pool = workers if isinstance(workers, WorkerPool) else WorkerPool(timeout, workers)
        self._known: dict[_Pair, _Judged] = {}

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes, unless others share them."""
        if not self._shares:
            self.pool.close()

    def forget(self) -> None:
        """Drop the remembered verdicts."""
        self._known.clear()

    def scorable(self, problem: Problem) -> bool:
        """Whether the gold says anything once canonical, or the problem has a scorer of its own."""
        return place_of(problem) is not None or bool(canonical(gold_answer(problem.answer)))

    def grade(self, problem: Problem, responses: Sequence[Response]) -> list[Grade]:
        """Grade one problem's responses: outcomes first, then the reward function on all of them together."""
        if (place := place_of(problem)) is not None:
            found = self._scored(problem, place, [(r.text, r.finish) for r in responses])
        else:
            rows = [(r.text, r.finish, problem.answer) for r in responses]
            source = problem.source if problem.source in self.mode.by_source else ""
            found = self._outcomes(rows, source) if self.once else [self._afresh(row, source) for row in rows]
        judged = [
            replace(r, outcome=g.outcome, extracted=g.extracted, score=g.score)
            for r, g in zip(responses, found, strict=True)
        ]
        rewards = self.reward(problem, judged)
        return [replace(g, reward=reward) for g, reward in zip(found, rewards, strict=True)]

    def grade_many(
        self, responses: Sequence[str], golds: Sequence[str], finishes: Sequence[Finish] | None = None
    ) -> list[Grade]:
        """Grade any responses, each against its own gold and as a group of its own; in order.

        Raises:
            ValueError: the numbers of responses and golds differ.
        """
        rows = zip(responses, finishes or ["stop"] * len(responses), golds, strict=True)
        found = self._outcomes(list(rows))
        grades = []
        for text, gold, grade in zip(responses, golds, found, strict=True):
            response = Response(text, "stop", len(text.split()), grade.outcome, grade.extracted)
            grades.append(replace(grade, reward=self.reward(Problem("row", "", gold, "rows"), [response])[0]))
        return grades

    async def agrade_many(self, responses: Sequence[str], golds: Sequence[str]) -> list[Grade]:
        """`grade_many` without holding up the event loop."""
        return await asyncio.to_thread(self.grade_many, responses, golds)

    def _outcomes(self, rows: Sequence[tuple[str, str, str]], source: str = "") -> list[Grade]:
        """Grades without rewards of (text, finish, gold) rows; each distinct row is looked at once."""
        distinct = list(dict.fromkeys(rows))
        answers = [self._answer(text, gold) for text, _, gold in distinct]
        golds = [gold_answer(gold) for _, _, gold in distinct]
        self._judge([(a.answer, g, source) for a, g in zip(answers, golds, strict=True) if a.answer is not None])
        grades = {}
        for row, answer, gold in zip(distinct, answers, golds, strict=True):
            if not canonical(gold):
                grades[row] = Grade("unscorable", None, None, "gold")
            elif answer.answer is None:
                grades[row] = Grade("truncated" if row[1] == "length" else "no_answer", None, None, "extraction")
            else:
                judged = self._known[answer.answer, gold, source]
                outcome: Outcome = "timeout" if judged.equal is None else "correct" if judged.equal else "wrong"
                grades[row] = Grade(outcome, None, answer.answer, judged.layer, answer.source, judged.seconds)
        return [grades[row] for row in rows]

    def _scored(self, problem: Problem, place: Place, rows: Sequence[tuple[str, Finish]]) -> list[Grade]:
        """Grades without rewards of (text, finish) rows, by the scorer that the problem's set has."""
        whole = adapter_of(place.set).reads == "response"
        answers = {text: None if whole else self._answer(text, "").answer for text, _ in rows}
        asked = [text for text, answer in answers.items() if whole or answer is not None]
        replies = score(problem, place, [(text, answers[text]) for text in asked], self.pool.timeout)
        said = dict(zip(asked, replies, strict=True))
        return [_grade_of(said.get(text), finish, answers[text]) for text, finish in rows]

    def _afresh(self, row: tuple[str, str, str], source: str) -> Grade:
        self.forget()
        return self._outcomes([row], source)[0]

    def _answer(self, text: str, gold: str) -> Extracted:
        if self.answers:
            return Extracted(last_boxed(text) or text, "answer")
        if self.template is not None and self.mode.name == "default":
            return extract(text, self.template, self.fallback)
        if self.template is not None and self.template.think and not (text := after_think(text)):
            return nothing()
        found = self.mode.find(text)
        return with_fallback(found, text) if self.fallback else found

    def _judge(self, pairs: Sequence[_Pair]) -> None:
        """Put every pair's verdict into `_known`: first without symbols, then the open ones in the workers."""
        if len(self._known) + len(pairs) > MOST_REMEMBERED:
            self._known.clear()
        undecided = []
        for pair in dict.fromkeys(pairs):
            if pair in self._known:
                continue
            started = time.perf_counter()
            answer, gold, source = pair
            verdict = self.mode.rule(source)(answer, gold, None)
            if verdict is None:
                undecided.append(pair)
            else:
                self._known[pair] = _Judged(verdict.equal, verdict.layer, time.perf_counter() - started)
        replies = self.pool.ask([Question(self.mode.name, *pair) for pair in undecided])
        for pair, reply in zip(undecided, replies, strict=True):
            layer: Layer = "limit" if reply.equal is None else "symbolic"
            self._known[pair] = _Judged(reply.equal, layer, reply.seconds)


def _grade_of(reply: Reply | None, finish: Finish, answer: str | None) -> Grade:
    """The grade that a scorer's reply means; None where there was no answer to ask about."""
    if reply is None:
        return Grade("truncated" if finish == "length" else "no_answer", None, None, "extraction", score=0.0)
    outcome: Outcome = "timeout" if reply.equal is None else "correct" if reply.equal else "wrong"
    return Grade(outcome, None, reply.answer or answer, "scorer", None, reply.seconds, reply.score)


def gold_answer(gold: str) -> str:
    """The answer in a gold: what its box holds, or follows `####`, else all of it."""
    if "boxed" in gold and (found := last_boxed(gold)):
        return found
    return (after_hash(gold) or gold) if "####" in gold else gold
