"""From transcripts to scores: grade rows, and say what they show. Needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oneshot_rlvr.evaluation.metrics import majority, pass_at_k, vote_of
from oneshot_rlvr.evaluation.statistics import average_interval, mean_interval
from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.telemetry import REFLECTION_WORDS, boxes, mean, reflection_pattern

Row = dict[str, Any]


def grade_rows(rows: Sequence[Row], problems: Sequence[Problem], grader: Grader) -> list[Row]:
    """The rows with each response's outcome and extracted answer, and what is known of the problem."""
    graded = []
    for row, problem in zip(rows, problems, strict=True):
        assert row["problem_id"] == problem.id, "transcripts and problems differ"
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


def score_rows(rows: Sequence[Row], words: Sequence[str] = REFLECTION_WORDS) -> Row:
    """A suite's scores: accuracies in percent with 95 % intervals, what responses look like, by category and level."""
    responses = [response for row in rows for response in row["samples"]]
    outcomes = [response["outcome"] for response in responses]
    boxed = [response for response in responses if boxes(response["text"])]
    score: Row = {
        **_accuracies(rows),
        "boxed": len(boxed) / max(1, len(responses)),
        "boxed_accuracy": 100 * mean([response["outcome"] == "correct" for response in boxed]),
        "no_answer": mean([outcome == "no_answer" for outcome in outcomes]),
        "truncated": mean([response["finish"] == "length" for response in responses]),
        "length": mean([response["tokens"] for response in responses]),
        **_reflections([response["text"] for response in responses], words),
        "outcomes": {name: outcomes.count(name) for name in sorted(set(outcomes))},
        "prompt_too_long": sum(not row["samples"] for row in rows),
    }
    if any(row["greedy"] for row in rows):
        greedy = rates_of(rows, "greedy")
        score |= {"greedy": 100 * mean(greedy), "greedy_interval": percent(mean_interval(greedy))}
    return score | {"by": breakdown(rows)}


def _accuracies(rows: Sequence[Row]) -> Row:
    """avg@n with its interval, pass@k for k = 2, 4, ... n, and maj@n."""
    count, rates = max((len(row["samples"]) for row in rows), default=0), rates_of(rows)
    score: Row = {f"avg@{count}": 100 * mean(rates), "interval": percent(mean_interval(rates)), "n": len(rows)}
    right = [sum(response["outcome"] == "correct" for response in row["samples"]) for row in rows]
    for k in sorted({*(2**i for i in range(1, 20) if 2**i <= count), count} - {0}):
        found = [pass_at_k(count, c, k) if row["samples"] else 0.0 for row, c in zip(rows, right, strict=True)]
        score[f"pass@{k}"] = 100 * mean(found)
    votes = [
        majority([vote_of(r["extracted"]) for r in row["samples"]], [r["outcome"] == "correct" for r in row["samples"]])
        for row in rows
    ]
    return score | {f"maj@{count}": 100 * mean(votes)}


def _reflections(texts: Sequence[str], words: Sequence[str]) -> Row:
    """The share of responses with any of the words, and with each."""
    if not words:
        return {"reflection": 0.0}
    anything = reflection_pattern(words)
    found: Row = {"reflection": mean([anything.search(text) is not None for text in texts])}
    for word in words:
        pattern = reflection_pattern([word])
        found[f"reflection:{word}"] = mean([pattern.search(text) is not None for text in texts])
    return found


def breakdown(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Accuracy by category and by level, where problems have them."""
    table: dict[str, dict[str, Row]] = {}
    for field in ("category", "level"):
        groups: dict[str, list[Row]] = {}
        for row in rows:
            if row[field]:
                groups.setdefault(row[field], []).append(row)
        for name in sorted(groups) if len(groups) > 1 else ():
            rates = rates_of(groups[name])
            entry = {"accuracy": 100 * mean(rates), "interval": percent(mean_interval(rates)), "n": len(rates)}
            table.setdefault(field, {})[name] = entry
    return table


def average_score(rows_of: Mapping[str, Sequence[Row]], scores: Mapping[str, Row]) -> Row:
    """The mean over suites, each as it is sampled; intervals resample problems within each suite.

    The key of the accuracy is that of the suites where they agree (`avg@8`), else plain `avg`; the breakdown is over
    all problems of all suites.
    """
    shared = set.intersection(*(set(score) for score in scores.values()))
    average: Row = {
        key: mean([score[key] for score in scores.values()])
        for key, value in next(iter(scores.values())).items()
        if key in shared and isinstance(value, float)
    }
    average.setdefault(accuracy_key(average), mean([score[accuracy_key(score)] for score in scores.values()]))
    average["interval"] = percent(average_interval([rates_of(rows) for rows in rows_of.values()]))
    if "greedy" in average:
        average["greedy_interval"] = percent(average_interval([rates_of(rows, "greedy") for rows in rows_of.values()]))
    average["n"] = sum(score["n"] for score in scores.values())
    return average | {"by": breakdown([row for rows in rows_of.values() for row in rows])}


def accuracy_key(score: Row) -> str:
    """The key of a score's sampled accuracy: `avg@8`; `avg` for a mean over suites that are sampled differently."""
    return next((key for key in score if key.startswith("avg@")), "avg")


def percent(interval: tuple[float, float]) -> list[float]:
    """An interval of shares in percent."""
    return [100 * interval[0], 100 * interval[1]]
