"""`oneshot doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from oneshot_rlvr.analysis import Finding


def doctor(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder; the run may be going on.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
) -> None:
    """Say why the reward is flat, falling or too good, and which setting mends it; exits with 1 if something is."""
    from oneshot_rlvr.analysis import diagnose
    from oneshot_rlvr.commands.terminal import plain, show
    from oneshot_rlvr.runs import Run

    asked = Run.at(run)
    findings = diagnose(asked)
    if as_json:
        print(json.dumps([finding.as_json() for finding in findings], indent=1))
    elif findings:
        for number, finding in enumerate(findings):
            show(plain(said(finding, number)))
    else:
        steps = len(asked.metrics())
        print(f"Nothing found in {steps} steps." if steps else "No step is finished yet.")
    if findings:
        raise typer.Exit(1)


def said(finding: Finding, number: int = 0) -> str:
    """A finding as the terminal has it: what, since when, why it is thought so, and what to do."""
    figures = {name: value for name, value in finding.evidence.items() if name != "transcripts"}
    lines = [f"{'' if number else 'Likeliest: '}{finding.finding} ({finding.severity}, seen by step {finding.step})"]
    lines.append("  because: " + ", ".join(f"{name} {_shown(value)}" for name, value in figures.items()))
    for row in finding.evidence["transcripts"]:
        lines.append(f"  step {row['step']}, {row['outcome']}, reward {_shown(row['reward'])}: {row['text'][:160]!r}")
    return "\n".join([*lines, f"  do: {finding.fix}"])


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
