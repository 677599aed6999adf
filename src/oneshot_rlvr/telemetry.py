"""What a step's rollouts say about the run: pure functions from rollouts and grades to metrics (docs/metrics.md)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from oneshot_rlvr.algorithms import without_variance
from oneshot_rlvr.grading import OUTCOMES, Grade, Response
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.problems.answers import last_boxed
from oneshot_rlvr.rollout import Rollout

REFLECTION_WORDS = ("rethink", "recheck", "recalculate")  # the paper's

Grid = Sequence[Sequence[Any]]


def as_response(rollout: Rollout) -> Response:
    """What grading sees of a rollout."""
    return Response(rollout.text, rollout.finish, len(rollout.response_ids))


@lru_cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    stems = [
        re.escape(word.removesuffix("e")).replace("re", "re-?", 1) if word.startswith("re") else re.escape(word)
        for word in words
    ]
    return re.compile("|".join(stems), re.IGNORECASE)


def reflection_pattern(words: Sequence[str] = REFLECTION_WORDS) -> re.Pattern[str]:
    """Finds any of the words in any case: their other forms too (rechecking, recalculated), and re-check."""
    return _pattern(tuple(words))


def reflects(text: str) -> bool:
    """Whether a response says that it rethinks, rechecks or recalculates."""
    return reflection_pattern().search(text) is not None


def boxes(text: str) -> bool:
    """Whether a response has a balanced box that is not empty."""
    return last_boxed(text) is not None


def mean(values: Sequence[float | bool]) -> float:
    """The mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def rollout_metrics(
    rollouts_PG: Sequence[Sequence[Rollout]], grades_PG: Sequence[Sequence[Grade]], rewards_PG: torch.Tensor
) -> dict[str, float]:
    """Rewards, groups and responses of a step."""
    rollouts = [rollout for group in rollouts_PG for rollout in group]
    outcomes = [grade.outcome for group in grades_PG for grade in group]
    scored = rewards_PG[~rewards_PG.isnan()]
    lengths = [len(rollout.response_ids) for rollout in rollouts]
    return {
        "reward/mean": float(scored.mean()) if len(scored) else 0.0,
        "reward/std": float(scored.std(correction=0)) if len(scored) else 0.0,
        "group/zero_variance_fraction": mean(without_variance(rewards_PG).tolist()),
        "response/length_mean": mean(lengths),
        "response/length_max": float(max(lengths)),
        "response/truncated_fraction": mean([rollout.finish == "length" for rollout in rollouts]),
        "response/boxed_fraction": mean([boxes(rollout.text) for rollout in rollouts]),
        "response/reflection_fraction": mean([reflects(rollout.text) for rollout in rollouts]),
        "response/distinct_fraction": len({rollout.text for rollout in rollouts}) / len(rollouts),
        **{f"outcome/{name}": mean([outcome == name for outcome in outcomes]) for name in OUTCOMES},
    }


def rollout_rows(
    problems_P: Sequence[Problem], rollouts_PG: Grid, grades_PG: Sequence[Sequence[Grade]], advantages_PG: torch.Tensor
) -> list[dict[str, Any]]:
    """One row a rollout for the run folder: what was sampled, its grade, its advantage."""
    rows = []
    for group, (problem, rollouts, grades) in enumerate(zip(problems_P, rollouts_PG, grades_PG, strict=True)):
        for copy, (rollout, grade) in enumerate(zip(rollouts, grades, strict=True)):
            rows.append(
                {
                    "problem_id": problem.id,
                    "group": group,
                    "text": rollout.text,
                    "finish": rollout.finish,
                    "tokens": len(rollout.response_ids),
                    "outcome": grade.outcome,
                    "extracted": grade.extracted,
                    "reward": grade.reward,
                    "advantage": round(float(advantages_PG[group, copy]), 6),
                    "logprob": round(sum(rollout.logprobs), 4),
                }
            )
    return rows
