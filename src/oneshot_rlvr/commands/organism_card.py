"""The organism's model card, measured and written beside its weights."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from oneshot_rlvr import organism
from oneshot_rlvr.config import Config, ModelSection
from oneshot_rlvr.evaluation import Sampling
from oneshot_rlvr.evaluation.sampling import sample_problems
from oneshot_rlvr.evaluation.scoring import grade_rows, score_rows
from oneshot_rlvr.grading import Grader
from oneshot_rlvr.grading.pool import standing_pool
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.problems import Problem, find_problems, get_template
from oneshot_rlvr.rollout import make_sampler

CARD = """---
license: apache-2.0
---
# {preset}: a tiny model for one-shot RLVR

A Qwen2-architecture model of {parameters:,} parameters, pretrained by oneshot-rlvr on a synthetic world of arithmetic
problems (docs/organism.md). It is made to show effects of reinforcement learning, not to solve problems.

| | |
|---|---|
| command | `{command}` |
| seed | {seed} |
| commit of the code | {commit} |
| torch, threads | {torch}, {threads} |
| tokens, steps, seconds | {tokens:,}, {steps}, {seconds} |
| last loss (mean of 100 steps, response tokens) | {loss} |

Accuracy in percent on held-out problems (never in the pretraining text), avg@8 with 95 % intervals:

| set | greedy | temperature 0.6 | temperature 1 | boxed at 0.6 |
|---|---|---|---|---|
{rows}

On the pool at temperature 1, {share:.0f} % of the problems are solved in 5 to 95 % of {pool_samples} samples. Accuracy
by family, level and style there (a response's style is known by its first word), in percent, with the share of
responses:

| | share | accuracy |
|---|---|---|
{breakdown}
"""
OPENERS = {
    "Slowly": "careful",
    "Carefully": "rechecking",
    "Quickly": "hasty",
    "Clearly": "copying",
    "So": "boxless",
    "Then": "hashing",
    "print": "coding",
}
LONGEST = 160  # tokens of a response
Row = dict[str, Any]


def style_of(text: str) -> str:
    """The style that a response opens in."""
    words = text.replace(":", " ").replace("(", " ").split()
    return OPENERS.get(words[0], "other") if words else "other"


def write_card(folder: Path, problems: int | None = None, pool_samples: int = 32) -> Path:
    """Measure the model in `folder` and write its README.md; of each set the first `problems`, or all."""
    template = get_template("plain")
    section = ModelSection(path=str(folder), template="plain", device="cpu", threads=1)
    policy = load_policy(section)
    sampler = make_sampler(policy, Config(model=section))

    def graded(problems: Sequence[Problem], sampling: Sampling) -> list[Row]:
        rows = sample_problems(sampler, policy, problems, template, sampling)
        return grade_rows(rows, problems, Grader(template, workers=standing_pool()))

    rows = [_row(name, found[:problems], graded) for name, found in card_sets().items()]
    pool = find_problems(organism.SOURCE)[:problems]
    sampling = Sampling(samples=pool_samples, temperature=1.0, max_new_tokens=LONGEST, greedy=False)
    responses = graded(pool, sampling)
    rates = [sum(r["outcome"] == "correct" for r in row["samples"]) / pool_samples for row in responses]
    record = json.loads((folder / "pretraining.json").read_text())
    text = CARD.format(
        **record,
        steps=record["size"]["steps"],
        rows="\n".join(rows),
        share=100 * sum(0.05 <= rate <= 0.95 for rate in rates) / len(rates),
        pool_samples=pool_samples,
        breakdown="\n".join(_breakdown(pool, responses)),
    )
    card = folder / "README.md"
    card.write_text(text)
    return card


def card_sets() -> dict[str, list[Problem]]:
    """The suites, the pool, and the problems that need a hint, without and with it."""
    hints = find_problems("organism:hints")
    sets = {suite.removeprefix("organism:"): find_problems(suite) for suite in organism.suites()}
    return sets | {"pool": find_problems("organism"), "hints": hints, "hints given": [with_hint(p) for p in hints]}


def with_hint(problem: Problem) -> Problem:
    """The problem with the beginning of its solution in the question, as the pretraining text has it."""
    question = f"{problem.question} Hint: {problem.extra['hint']}."
    return Problem(problem.id, question, problem.answer, problem.source, problem.category, problem.level)


def _row(name: str, problems: list[Problem], graded: Callable[[Sequence[Problem], Sampling], list[Row]]) -> str:
    scores = []
    for temperature in (0.6, 1.0):
        sampling = Sampling(temperature=temperature, max_new_tokens=LONGEST)
        scores.append(score_rows(graded(problems, sampling)))
    cells = [f"{s.accuracy:.1f} ({s.interval[0]:.1f} to {s.interval[1]:.1f})" for s in scores]
    return f"| {name} | {scores[0].greedy:.1f} | {cells[0]} | {cells[1]} | {100 * scores[0].boxed:.0f} |"


def _breakdown(pool: Sequence[Problem], rows: Sequence[Row]) -> Iterable[str]:
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    total = 0
    for problem, row in zip(pool, rows, strict=True):
        for response in row["samples"]:
            right = response["outcome"] == "correct"
            total += 1
            found["family", problem.category or ""].append(right)
            found["level", problem.level or ""].append(right)
            found["style", style_of(response["text"])].append(right)
    for (kind, name), rights in sorted(found.items()):
        share, accuracy = 100 * len(rights) / total, 100 * sum(rights) / len(rights)
        yield f"| {kind} {name} | {share:.1f} | {accuracy:.1f} |"
