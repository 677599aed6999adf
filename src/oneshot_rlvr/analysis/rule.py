"""A rule: one thing that can be wrong with a run, what shows it, and the setting that mends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from oneshot_rlvr.analysis.case import Case, Row

Severity = Literal["error", "warning"]
Evidence = dict[str, Any]
SHOWN, TRANSCRIPTS = 300, 2


@dataclass(frozen=True)
class Sign:
    """What a rule found: at which step, the figures, and rollouts that show it."""

    step: int
    evidence: Evidence
    shows: Sequence[Row] = ()


@dataclass(frozen=True)
class Rule:
    """`look` gives a sign or None."""

    name: str
    severity: Severity
    fix: str
    look: Callable[[Case], Sign | None]


@dataclass(frozen=True)
class Finding:
    """What is wrong: a name that scripts may know, the step that shows it, evidence, and the setting that mends it."""

    finding: str
    severity: Severity
    step: int
    evidence: Evidence
    fix: str

    def as_json(self) -> dict[str, Any]:
        """As `oneshot doctor --json` writes it."""
        return asdict(self)

    @classmethod
    def of(cls, rule: Rule, sign: Sign) -> Finding:
        """A rule's sign, with two transcripts."""
        different = list({row["text"]: row for row in sign.shows}.values())[:TRANSCRIPTS]
        shown = [
            {"step": row["step"], "problem": row["problem_id"], "text": row["text"][:SHOWN], "outcome": row["outcome"]}
            | {"answer": row["extracted"], "reward": row["reward"]}
            for row in different
        ]
        evidence = {
            name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in sign.evidence.items()
        }
        return cls(rule.name, rule.severity, sign.step, evidence | {"transcripts": shown}, rule.fix)


RULES: list[Rule] = []  # in the order of what explains what: the first sign is the likeliest cause


def rule(
    name: str, fix: str, severity: Severity = "error"
) -> Callable[[Callable[[Case], Sign | None]], Callable[[Case], Sign | None]]:
    """Add a rule after those that are there."""

    def add(look: Callable[[Case], Sign | None]) -> Callable[[Case], Sign | None]:
        RULES.append(Rule(name, severity, fix, look))
        return look

    return add
