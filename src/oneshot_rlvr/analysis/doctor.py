"""Diagnosis: what is wrong with a run, the likeliest cause first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from oneshot_rlvr.analysis.case import WINDOW, Case, Row
from oneshot_rlvr.analysis.rule import RULES, Finding
from oneshot_rlvr.runs import Run


def diagnose(run: Run) -> list[Finding]:
    """What is wrong with a run, the likeliest cause first; nothing where nothing is, or where it has no step yet.

    Raises:
        OneshotError: no run in this folder, or a damaged one.
    """
    case = Case.of(run)
    return examine(case) if case.metrics else []


def examine(case: Case) -> list[Finding]:
    """The signs of all rules, in their order. Supervised runs have none: nothing was sampled that could be compared."""
    if not case.sampled:
        return []
    found = ((rule, rule.look(case)) for rule in RULES)
    return [Finding.of(rule, sign) for rule, sign in found if sign is not None]


@dataclass
class Watch:
    """The rules while a run goes on: every fifth step, each finding once; a resumed run is seen whole."""

    run: Run
    metrics: list[Row] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def __call__(self, step: int, metrics: dict[str, float]) -> list[Finding]:
        """What is newly wrong after a step."""
        if not self.metrics:
            self.metrics += [line for line in self.run.metrics() if line["step"] < step]
            self.case = replace(Case.of(self.run), metrics=self.metrics)
        self.metrics.append({"step": step, **metrics})
        if step % WINDOW:
            return []
        new = [finding for finding in examine(self.case) if finding.finding not in self.said]
        self.said |= {finding.finding for finding in new}
        return new
