"""What a step's groups say about the run: pure functions from groups to metrics (docs/metrics.md) and rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from oneshot_rlvr.algorithms import Experience, without_variance
from oneshot_rlvr.grading import OUTCOMES
from oneshot_rlvr.grading.features import answer_counts, boxes, entropy_of, mean, reflects
from oneshot_rlvr.training.groups import Group


def group_metrics(groups: Sequence[Group], experience: Experience, sampled: Sequence[Group]) -> dict[str, float]:
    """Rewards, groups and responses of a step, for which `sampled` were sampled, left-out ones among them."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    outcomes = [grade.outcome for group in groups for grade in group.grades]
    rewards = [grade.reward for group in groups for grade in group.grades if grade.reward is not None]
    lengths = experience.lengths_B
    return {
        "reward/mean": float(np.mean(rewards)) if rewards else 0.0,
        "reward/std": float(np.std(rewards)) if rewards else 0.0,
        "group/zero_variance_fraction": mean(without_variance(experience.rewards_PG, experience.sizes_P).tolist()),
        "group/count": float(len(groups)),
        **sampled_metrics(sampled),
        "group/hinted_fraction": mean([group.hint > 0 for group in groups]),
        "response/length_mean": mean(lengths),
        "response/length_max": float(max(lengths)),
        "response/truncated_fraction": mean([rollout.finish == "length" for rollout in rollouts]),
        "response/boxed_fraction": mean([boxes(rollout.text) for rollout in rollouts]),
        "response/reflection_fraction": mean([reflects(rollout.text) for rollout in rollouts]),
        "response/distinct_fraction": len({rollout.text for rollout in rollouts}) / len(rollouts),
        "answer/entropy": answer_entropy(groups),
        **{f"outcome/{name}": mean([outcome == name for outcome in outcomes]) for name in OUTCOMES},
    }


def sampled_metrics(sampled: Sequence[Group]) -> dict[str, float]:
    """Of all that was sampled for a step: what a collector leaves out costs time, and may be what is solved."""
    grades = [grade for group in sampled for grade in group.grades]
    tokens = sum(len(rollout.response_ids) for group in sampled for rollout in group.rollouts)
    right = {"outcome/correct_of_sampled": mean([grade.outcome == "correct" for grade in grades])} if grades else {}
    return {"group/sampled": float(len(sampled)), "tokens/sampled": float(tokens), **right}


def answer_entropy(groups: Sequence[Group]) -> float:
    """Entropy of each problem's answers in nats, the mean over problems."""
    answers: dict[str, Counter[str | None]] = {}
    for group in groups:
        counts = answers.setdefault(group.problem.id, Counter())
        counts.update(answer_counts(grade.extracted for grade in group.grades))
    return mean([entropy_of(counts) for counts in answers.values()])


def rollout_rows(groups: Sequence[Group], experience: Experience) -> list[dict[str, Any]]:
    """One row a rollout for the run folder: what was sampled, its grade, its advantage (the mean over its tokens)."""
    assert experience.advantages is not None
    advantages = iter(_means(torch.cat(list(experience.advantages)), experience.lengths_B))
    rows = []
    for place, group in enumerate(groups):
        for rollout, grade in zip(group.rollouts, group.grades, strict=True):
            row = {
                "problem_id": group.problem.id,
                "group": place,
                "text": rollout.text,
                "finish": rollout.finish,
                "tokens": len(rollout.response_ids),
                "outcome": grade.outcome,
                "extracted": grade.extracted,
                "reward": grade.reward,
                "advantage": round(next(advantages), 6),
                "logprob": round(sum(rollout.logprobs), 4) if rollout.logprobs else None,
            }
            rows.append(row | ({"hint": group.hint} if group.hint else {}))
    return rows


def _means(values_N: torch.Tensor, lengths: Sequence[int]) -> list[float]:
    """The mean of each stretch; exactly its value where all of it is equal."""
    values, starts = values_N.double().cpu().numpy(), np.cumsum([0, *lengths[:-1]])
    constant = np.maximum.reduceat(values, starts) == np.minimum.reduceat(values, starts)
    means = np.add.reduceat(values, starts) / np.array(lengths)
    return np.where(constant, values[starts], means).tolist()
