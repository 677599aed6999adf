"""Demonstrations: solutions to learn from, in the place of rollouts."""

from __future__ import annotations

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.problems.solutions import demonstration
from oneshot_rlvr.rollout import Rollout
from oneshot_rlvr.training.collectors.registry import COLLECTORS
from oneshot_rlvr.training.groups import Group
from oneshot_rlvr.training.source import Source


def _check(source: Source) -> None:
    for problem in source.problems:
        _written(source, problem)


@COLLECTORS.register("demonstrations", check=_check, samples=False)
def demonstrations(source: Source, step: int) -> list[Group]:
    """One response a problem, its own solution with the answer where the template wants it; nothing is sampled.

    With advantage `ones`, surrogate `log_likelihood` and no penalties this is supervised fine-tuning.
    """
    return [_group(source, problem) for problem in source.problems_of(step)]


def _group(source: Source, problem: Problem) -> Group:
    text, ids = _written(source, problem)
    rollouts = [Rollout(problem.id, source.encode(problem), ids, (), text, "stop")]
    return source.group(problem, rollouts)


def _written(source: Source, problem: Problem) -> tuple[str, tuple[int, ...]]:
    """A problem's demonstration as text and token ids, the end token among them.

    Raises:
        OneshotError: it has no solution, or one that is too long.
    """
    text = demonstration(problem, source.template)
    ids = (*source.tokenizer(text, add_special_tokens=False)["input_ids"], source.end_id)
    limit = source.config.sampling.max_new_tokens
    if len(ids) > limit:
        raise OneshotError(
            f"its solution has {len(ids)} tokens, more than sampling.max_new_tokens={limit}",
            where=f"problem {problem.id}",
            fix="Raise the limit, or leave the problem out.",
        )
    return text, ids
