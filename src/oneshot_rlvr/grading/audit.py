"""What golds a grader can trust: found at load, before a wrong gold has ruined a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from oneshot_rlvr.grading.compare import symbolic
from oneshot_rlvr.grading.grade import gold_answer
from oneshot_rlvr.grading.limits import too_hard, too_much
from oneshot_rlvr.grading.normalise import canonical
from oneshot_rlvr.grading.pool import PARSE, Question, standing_pool
from oneshot_rlvr.grading.structure import Expression, Node, Opaque, Words, read
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.problems.adapters import place_of

Kind = Literal["unscorable", "string only", "unparsable", "inner dollar", "e-notation"]
MEANING: dict[Kind, str] = {
    "unscorable": "nothing is left of the gold; training refuses it",
    "string only": "no reading fits it, or it exceeds a cap: only its own spelling is correct",
    "unparsable": "math-verify cannot read a part of it: that part matches only its own spelling",
    "inner dollar": "a dollar sign inside, often prose between formulas",
    "e-notation": "written as 4.5e33; read as a number here, as 4.5 times e times 33 by some graders",
}


@dataclass(frozen=True)
class Finding:
    """One thing to know about one gold."""

    problem_id: str
    gold: str
    kind: Kind


def audit_golds(problems: Sequence[Problem], timeout: float = 3.0, workers: int | None = None) -> list[Finding]:
    """Findings in the problems' order; problems with a scorer of their own are not looked at, it knows their golds.

    A worker process starts only if a gold has a part that is no plain number.
    """
    findings: list[Finding] = []
    asked: list[tuple[Problem, str]] = []
    for problem in (one for one in problems if place_of(one) is None):
        raw = gold_answer(problem.answer)
        text = canonical(raw)
        kinds: list[Kind] = []
        if not text:
            kinds.append("unscorable")
        elif too_much(raw) or too_hard(text) or _by_string(read(text)):
            kinds.append("string only")
        else:
            asked += [
                (problem, leaf.text)
                for leaf in leaves(read(text))
                if isinstance(leaf, Expression) and leaf.number is None and not re.fullmatch("[A-Za-z]", leaf.text)
            ]
        if "$" in raw.strip().strip("$").replace(r"\$", ""):
            kinds.append("inner dollar")
        if re.fullmatch(r"\$?-?\d+\.?\d*[eE][-+]?\d+\$?", raw.strip()):
            kinds.append("e-notation")
        findings += [Finding(problem.id, problem.answer, kind) for kind in kinds]
    findings += _unparsable(asked, timeout, workers)
    places = {problem.id: place for place, problem in enumerate(problems)}
    return sorted(findings, key=lambda finding: places[finding.problem_id])


def summary(findings: Sequence[Finding], total: int) -> list[str]:
    """A line a kind, with the first ids."""
    lines = []
    counts: Counter[Kind] = Counter(finding.kind for finding in findings)
    for kind, count in counts.items():
        ids = [finding.problem_id for finding in findings if finding.kind == kind]
        shown = ", ".join(ids[:5]) + (", ..." if count > 5 else "")
        lines.append(f"{count} of {total} golds, {kind}: {MEANING[kind]} ({shown})")
    return lines


def leaves(node: Node) -> Iterator[Node]:
    """The parts of a tree that have no parts."""
    inner = [value for field in fields(node) for value in _nodes(getattr(node, field.name))]
    if not inner:
        yield node
    for child in inner:
        yield from leaves(child)


def _nodes(value: object) -> list[Node]:
    if isinstance(value, tuple):
        return [node for item in value for node in _nodes(item)]
    return [value] if isinstance(value, Node) else []


def _by_string(node: Node) -> bool:
    """Whether the gold, or a part of one that is no text answer as a whole, is compared by its spelling alone."""
    return any(_opaque(leaf) or (leaf is not node and isinstance(leaf, Words)) for leaf in leaves(node))


def _opaque(leaf: Node) -> bool:
    return isinstance(leaf, Opaque) or (
        isinstance(leaf, Expression) and leaf.number is None and not symbolic(leaf.text)
    )


def _unparsable(asked: Sequence[tuple[Problem, str]], timeout: float, workers: int | None) -> list[Finding]:
    texts = list(dict.fromkeys(text for _, text in asked))
    replies = standing_pool(timeout, workers).ask([Question(PARSE, text, text) for text in texts])
    bad = {text for text, reply in zip(texts, replies, strict=True) if not reply.equal}
    found = dict.fromkeys(problem for problem, text in asked if text in bad)
    return [Finding(problem.id, problem.answer, "unparsable") for problem in found]
