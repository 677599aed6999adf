"""DAPO's dynamic sampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from oneshot_rlvr.training.collectors.registry import COLLECTORS
from oneshot_rlvr.training.groups import Group
from oneshot_rlvr.training.source import Source


@COLLECTORS.register("refill")
def refill(
    source: Source, step: int, rounds: Annotated[int, Field(ge=1)] = 10, by: Literal["reward", "outcome"] = "reward"
) -> list[Group]:
    """Sample until `groups_per_step` groups have variance, in at most `rounds` rounds; the others are left out.

    GRPO trains on all groups, those without variance giving no gradient and making the step smaller. `by` says of what:
    of the rewards, or of right and wrong, where a length penalty makes rewards differ in a group that all fail. Each
    round takes the problems in another order and draws new numbers. Where the rounds do not suffice, the step trains on
    what there is; where no group has variance, on none: the first round's are silent.
    Source: DAPO (arXiv 2503.14476, equation 11).
    """
    wanted, kept, first = source.config.batch.groups_per_step, [], []
    for attempt in range(rounds):
        groups = source.groups(step, source.problems_of(step, attempt), attempt)
        first = first or groups
        kept += [group for group in groups if _varied(group, by)]
        if len(kept) >= wanted:
            break
    return kept[:wanted] or [replace(group, silent=True) for group in first]


def _varied(group: Group, by: str) -> bool:
    return group.varied if by == "reward" else 0 < group.correct < len(group.grades)
