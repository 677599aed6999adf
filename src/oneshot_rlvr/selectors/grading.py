"""Grade paths that were not graded where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.selectors.paths import PathGroup


def graded(groups: Sequence[PathGroup], grader: Grader) -> list[PathGroup]:
    """The groups with outcomes and extracted answers; a verdict that is there stays, without a gold there is none."""
    found = []
    for group in groups:
        responses = [Response(p.text, "length" if p.finish == "length" else "stop", p.tokens) for p in group.paths]
        judged = bool(group.problem.answer.strip()) and any(path.outcome == "unscorable" for path in group.paths)
        problem = group.problem if judged else replace(group.problem, answer="0")  # any gold: to have answers extracted
        grades = grader.grade(problem, responses)
        paths = [
            replace(
                path,
                outcome=grade.outcome if judged and path.outcome == "unscorable" else path.outcome,
                extracted=grade.extracted,
            )
            for path, grade in zip(group.paths, grades, strict=True)
        ]
        found.append(PathGroup(group.problem, paths))
    return found


def known(groups: Sequence[PathGroup]) -> list[PathGroup]:
    """The groups without paths of which nobody knows whether they are right, and without groups that had no others.

    Raises:
        OneshotError: nothing is left.
    """
    found = [
        group.of([place for place, path in enumerate(group.paths) if path.outcome != "unscorable"]) for group in groups
    ]
    if not any(group.paths for group in found):
        raise OneshotError("no path has a verdict", where="paths", fix="Give `answer`, or `right`, with each row.")
    return [group for group in found if group.paths]
