"""The organism's model card, measured and written beside its weights."""

from __future__ import annotations

import json
from pathlib import Path

from oneshot_rlvr.config import ModelSection
from oneshot_rlvr.evaluation import Protocol
from oneshot_rlvr.evaluation.evaluate import grade_rows, sample_suite, score_rows
from oneshot_rlvr.grading import Grader
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.problems import find_problems, get_template
from oneshot_rlvr.problems.catalogue import organism_suites

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

| suite | greedy | temperature 0.6 | temperature 1 | boxed at 0.6 |
|---|---|---|---|---|
{rows}
"""


def write_card(folder: Path) -> Path:
    """Measure the model in `folder` and write its README.md."""
    template = get_template("plain")
    policy = load_policy(ModelSection(path=str(folder), template="plain", device="cpu", threads=1))
    rows, record = [], json.loads((folder / "pretraining.json").read_text())
    for suite in [*organism_suites(), "organism"]:
        problems, scores = find_problems(suite), []
        for temperature in (0.6, 1.0):
            protocol = Protocol(temperature=temperature, max_new_tokens=64)
            graded = grade_rows(
                sample_suite(policy, problems, template, protocol, kv_cache_gib=1.0), problems, Grader(template)
            )
            scores.append(score_rows(graded, protocol))
        cells = [f"{s['avg@8']:.1f} ({s['interval'][0]:.1f} to {s['interval'][1]:.1f})" for s in scores]
        name = "pool" if suite == "organism" else suite.removeprefix("organism:")
        rows.append(
            f"| {name} | {scores[0]['greedy']:.1f} | {cells[0]} | {cells[1]} | {100 * scores[0]['boxed']:.0f} |"
        )
    card = folder / "README.md"
    card.write_text(CARD.format(**record, steps=record["size"]["steps"], rows="\n".join(rows)))
    return card
