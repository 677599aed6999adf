"""Grade paths that were not graded where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.selectors.paths import PathGroup


def graded(groups: Sequence[PathGroup], grader: Grader) -> list[PathGroup]:
    """The groups with outcomes and extracted answers; a verdict that is there stays, without a gold there is none."""
    found = []
    for group in groups:
        responses = [Response(p.text, "length" if p.finish == "length" else "stop", p.tokens) for p in group.paths]
        grades = grader.grade(group.problem, responses)
        known = bool(group.problem.answer)
        paths = [
            replace(
                path,
                outcome=grade.outcome if known and path.outcome == "unscorable" else path.outcome,
                extracted=grade.extracted,
            )
            for path, grade in zip(group.paths, grades, strict=True)
        ]
        found.append(PathGroup(group.problem, paths))
    return found
