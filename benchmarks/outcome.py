"""What every benchmark and study shares: a run that is finished, and figures with what they were measured on."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from oneshot_rlvr.commands.session import chosen_problems, resume, start
from oneshot_rlvr.config import resolve
from oneshot_rlvr.evaluation import Checkpoint, Evaluator
from oneshot_rlvr.evaluation.evaluate import Row
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.runs import Run
from oneshot_rlvr.runs.environment import commit


def trained(folder: Path, seed: int, settings: Sequence[str], steps: int = 100) -> Run:
    """A run of the organism's profile that is finished: started, resumed, or found."""
    run = Run(folder)
    if run.started:
        if not run.steps() or run.steps()[-1] < steps:
            resume(run)
        return run
    config, sources = resolve("grpo-full", "organism", settings, {"run.seed": seed, "run.steps": steps})
    start(run, config, sources, chosen_problems(config))
    return run


def graded(evaluator: Evaluator, checkpoint: Checkpoint) -> dict[str, list[Row]]:
    """A checkpoint's graded rows by suite, sampled where they have not been."""
    evaluator.sample(checkpoint.content_hash, lambda: load_policy(checkpoint.section), evaluator.template)
    with evaluator.grader(evaluator.template) as grader:
        return evaluator.rows(checkpoint.content_hash, grader, evaluator.template)


def about(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Machine, versions and commit that figures were measured with."""
    named = ("torch", "transformers", *packages, "oneshot-rlvr")
    return {"machine": platform.platform(), "versions": {name: version(name) for name in named}, "commit": commit()}


def write(figures: dict[str, Any], path: Path | None, packages: Sequence[str] = ()) -> None:
    """Print figures with machine, versions and commit, and write them if a path is given."""
    save(figures | about(packages), path)


def save(figures: dict[str, Any], path: Path | None) -> None:
    """Print figures, and write them if a path is given."""
    text = json.dumps(figures, indent=1)
    print(text)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
