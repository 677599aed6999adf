"""The models that an evaluation of a run looks at: the base, every k-th checkpoint, the last."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from oneshot_rlvr.config import Config, ModelSection
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.policy.model import model_folder
from oneshot_rlvr.rundir import RunDir, checksum, read_json, step_name, verify_folder

NO_INFLUENCE = {"README.md", "manifest.json", "pretraining.json"}


@dataclass(frozen=True)
class Checkpoint:
    """One model to evaluate, asked with another template than the evaluation's if one is named. Step 0 is the base."""

    name: str
    step: int
    section: ModelSection
    template: str | None = None

    @cached_property
    def content_hash(self) -> str:
        """Names everything about the model that sampling depends on; a hub model is known by its name alone."""
        folder = Path(model_folder(self.section.path))
        if not folder.is_dir():
            return json.dumps([self.section.path, self.section.dtype, self.section.autocast])
        files = (path for path in folder.iterdir() if path.is_file() and path.name not in NO_INFLUENCE)
        sums = sorted(f"{path.name}:{checksum(path)}" for path in files)
        return json.dumps([*sums, self.section.dtype, self.section.autocast])

    def asked_with(self, template: str) -> Checkpoint:
        """The same model under another template; `base@boxed`, say."""
        return replace(self, name=f"{self.name}@{template}", template=template)


def run_config(run: RunDir) -> Config:
    """The resolved configuration of a run.

    Raises:
        OneshotError: no run there, or a damaged configuration.
    """
    values = read_json(run.path / "config.json")
    try:
        return Config.model_validate(values["values"])
    except (KeyError, TypeError, ValueError) as error:
        raise OneshotError(
            "the configuration is damaged", where=run.path / "config.json", fix="Start the run again."
        ) from error


def checkpoints_of(run: RunDir, every: int = 1, base: bool = True) -> list[Checkpoint]:
    """The base, every `every`-th checkpoint of a run, its last one, and the one that validation chose.

    Raises:
        OneshotError: the run has no checkpoint, or a damaged one.
    """
    config, steps = run_config(run), run.steps()
    if not steps:
        raise OneshotError("this run has no checkpoint yet", where=run.path, fix="Train it first.")
    chosen = sorted({*steps[every - 1 :: every], steps[-1], best_by_validation(run) or steps[-1]})
    found = [Checkpoint("base", 0, config.model)] if base else []
    for step in chosen:
        folder = run.checkpoint_path(step)
        verify_folder(folder, "Delete this checkpoint folder; the others can still be evaluated.")
        found.append(Checkpoint(step_name(step), step, config.model.model_copy(update={"path": str(folder)})))
    return found


def run_of_checkpoint(path: Path) -> RunDir | None:
    """The run whose checkpoint this path names, if it does."""
    folder = path.resolve()
    run = RunDir(folder.parent.parent)
    return run if folder.parent.name == "checkpoints" and run.started else None


def best_by_validation(run: RunDir) -> int | None:
    """The saved step with the highest validation accuracy, the earliest of equals; None if it never validated."""
    saved = set(run.steps())
    scored = [
        (value, -line["step"])
        for line in run.metrics()
        for name, value in line.items()
        if name.startswith("validation/") and line["step"] in saved
    ]
    return -max(scored)[1] if scored else None
