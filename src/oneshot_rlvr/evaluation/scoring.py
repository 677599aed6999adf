"""From transcripts to scores: grade rows, and say what they show. Needs no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.metrics import majority, pass_at_k, vote_of
from oneshot_rlvr.evaluation.statistics import Interval, average_interval, mean_interval
from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.grading.features import REFLECTION_WORDS, boxes, mean, reflection_pattern
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.runs import Part, Score

Row = dict[str, Any]


def grade_rows(rows: Sequence[Row], problems: Sequence[Problem], grader: Grader) -> list[Row]:
    """The rows with each response's outcome and extracted answer, and what is known of the problem.

    Raises:
        OneshotError: the rows are not these problems', in order.
    """
    if [row["problem_id"] for row in rows] != [problem.id for problem in problems]:
        raise OneshotError("the transcripts are of other problems", fix="Delete them and run `oneshot eval` again.")
    graded = []
    for row, problem in zip(rows, problems, strict=True):
        new: Row = {
            **row,
            "question": problem.question,
            "gold": problem.answer,
            "category": problem.category,
            "level": problem.level,
        }
        for kind in ("samples", "greedy"):
            responses = [Response(r["text"], r["finish"], r["tokens"]) for r in row[kind]]
            grades = grader.grade(problem, responses)
            new[kind] = [
                {**r, "outcome": g.outcome, "extracted": g.extracted} for r, g in zip(row[kind], grades, strict=True)
            ]
        graded.append(new)
    return graded


def rates_of(rows: Sequence[Row], kind: str = "samples") -> list[float]:
    """Each problem's share of correct responses; problems without a response count as 0."""
    return [mean([response["outcome"] == "correct" for response in row[kind]]) for row in rows]


def score_rows(rows: Sequence[Row], words: Sequence[str] = REFLECTION_WORDS) -> Score:
    """A suite's scores: accuracies in percent with 95 % intervals, what responses look like, by category and level."""
    responses = [response for row in rows for response in row["samples"]]
    outcomes = [response["outcome"] for response in responses]
    boxed = [response for response in responses if boxes(response["text"])]
    count, rates = max((len(row["samples"]) for row in rows), default=0), rates_of(rows)
    greedy = rates_of(rows, "greedy") if any(row["greedy"] for row in rows) else None
    anything, *each = _reflections([response["text"] for response in responses], words)
    return Score(
        accuracy=100 * mean(rates),
        interval=percent(mean_interval(rates)),
        n=len(rows),
        samples=count,
        passes=_passes(rows, count),
        majority=100 * mean([_majority(row["samples"]) for row in rows]),
        boxed=len(boxed) / max(1, len(responses)),
        boxed_accuracy=100 * mean([response["outcome"] == "correct" for response in boxed]),
        no_answer=mean([outcome == "no_answer" for outcome in outcomes]),
        truncated=mean([response["finish"] == "length" for response in responses]),
        length=mean([response["tokens"] for response in responses]),
        reflection=anything,
        words=dict(zip(words, each, strict=True)),
        outcomes={name: outcomes.count(name) for name in sorted(set(outcomes))},
        prompt_too_long=sum(not row["samples"] for row in rows),
        shortened=sum("room" in row and bool(row["samples"]) for row in rows),
        greedy=None if greedy is None else 100 * mean(greedy),
        greedy_interval=None if greedy is None else percent(mean_interval(greedy)),
        by=breakdown(rows),
    )


def _passes(rows: Sequence[Row], count: int) -> dict[int, float]:
    """pass@k in percent for k = 2, 4, ... `count`."""
    right = [sum(response["outcome"] == "correct" for response in row["samples"]) for row in rows]
    return {
        k: 100 * mean([pass_at_k(count, c, k) if row["samples"] else 0.0 for row, c in zip(rows, right, strict=True)])
        for k in sorted({*(2**i for i in range(1, 20) if 2**i <= count), count} - {0})
    }


def _majority(responses: Sequence[Row]) -> float:
    return majority([vote_of(r["extracted"]) for r in responses], [r["outcome"] == "correct" for r in responses])


def _reflections(texts: Sequence[str], words: Sequence[str]) -> list[float]:
    """The share of responses with any of the words, and with each."""
    if not words:
        return [0.0]
    patterns = [reflection_pattern(words), *(reflection_pattern([word]) for word in words)]
    return [mean([pattern.search(text) is not None for text in texts]) for pattern in patterns]


def breakdown(rows: Sequence[Row]) -> dict[str, dict[str, Part]]:
    """Accuracy by category and by level, where problems have them."""
    table: dict[str, dict[str, Part]] = {}
    for field in ("category", "level"):
        groups: dict[str, list[Row]] = {}
        for row in rows:
            if row[field]:
                groups.setdefault(row[field], []).append(row)
        for name in sorted(groups) if len(groups) > 1 else ():
            rates = rates_of(groups[name])
            table.setdefault(field, {})[name] = Part(100 * mean(rates), percent(mean_interval(rates)), len(rates))
    return table


def average_score(rows_of: Mapping[str, Sequence[Row]], scores: Mapping[str, Score]) -> Score:
    """The mean over suites, each as it is sampled; intervals resample problems within each suite.

    The accuracy is that of the suites where they agree on k (avg@8), else plain avg; the breakdown is over all problems
    of all suites.
    """
    each = list(scores.values())
    first = each[0]

    def over(value: Callable[[Score], float]) -> float:
        return mean([value(score) for score in each])

    same = all(score.samples == first.samples for score in each)
    greedy = all(score.greedy is not None for score in each)
    return Score(
        accuracy=over(lambda s: s.accuracy),
        interval=percent(average_interval([rates_of(rows) for rows in rows_of.values()])),
        n=sum(score.n for score in each),
        samples=first.samples if same else None,
        passes={k: over(lambda s, k=k: s.passes[k]) for k in first.passes if all(k in s.passes for s in each)},
        majority=over(lambda s: s.majority or 0.0) if same else None,
        boxed=over(lambda s: s.boxed),
        boxed_accuracy=mean([score.boxed_accuracy for score in each if score.boxed]),
        no_answer=over(lambda s: s.no_answer),
        truncated=over(lambda s: s.truncated),
        length=over(lambda s: s.length),
        reflection=over(lambda s: s.reflection),
        words={word: over(lambda s, word=word: s.words[word]) for word in first.words},
        greedy=over(lambda s: s.greedy or 0.0) if greedy else None,
        greedy_interval=percent(average_interval([rates_of(rows, "greedy") for rows in rows_of.values()]))
        if greedy
        else None,
        by=breakdown([row for rows in rows_of.values() for row in rows]),
    )


def percent(interval: Interval) -> Interval:
    """An interval of shares in percent."""
    return 100 * interval[0], 100 * interval[1]
