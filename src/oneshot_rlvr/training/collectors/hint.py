"""GHPO's hints for groups that all fail."""

from __future__ import annotations

from dataclasses import replace

from oneshot_rlvr.problems import hinted
from oneshot_rlvr.training.collectors.registry import COLLECTORS
from oneshot_rlvr.training.groups import Group
from oneshot_rlvr.training.source import Source

RATIOS = (0.25, 0.5, 0.75)


def _check(source: Source, ratios: tuple[float, ...] = RATIOS, cold_start: int = 0) -> None:
    for problem in source.problems:
        for ratio in ratios:
            source.encode(hinted(problem, ratio))


@COLLECTORS.register("hint", check=_check)
def hint(source: Source, step: int, ratios: tuple[float, ...] = (0.25, 0.5, 0.75), cold_start: int = 0) -> list[Group]:
    """Groups without a correct rollout are sampled again, with the first 25, 50, 75 % of the solution in the prompt.

    A hint ends at a step of the solution and gives neither the last step nor an answer away; where there is but one
    step, the group is only asked again. What a hint rescued stays as it is; its rollouts are scored against the hinted
    prompt, whose tokens carry no loss. The first `cold_start` steps give no hints. Where every group is solved, this is
    GRPO. Source: GHPO (arXiv 2507.10628, section 3), whose released code cuts hints inside a step.
    """
    groups = source.groups(step, source.problems_of(step))
    for attempt, ratio in enumerate(ratios if step > cold_start else (), 1):
        failed = [place for place, group in enumerate(groups) if not group.correct]
        if not failed:
            break
        asked = [hinted(groups[place].problem, ratio) for place in failed]
        for place, group in zip(failed, source.groups(step, asked, attempt, failed), strict=True):
            problem = groups[place].problem
            given = ratio if group.problem.question != problem.question else 0.0
            groups[place] = replace(group, problem=problem, hint=given)
    return groups
