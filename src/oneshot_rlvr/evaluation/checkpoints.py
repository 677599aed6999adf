"""The models that an evaluation of a run looks at: the base, every k-th checkpoint, the last."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from oneshot_rlvr.config import ModelSection
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import checksum
from oneshot_rlvr.runs import BASE, Run, step_name

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


def checkpoints_of(run: Run, every: int = 1, base: bool = True) -> list[Checkpoint]:
    """The base, every `every`-th checkpoint of a run, its last one, and the one that counts.

    Raises:
        OneshotError: the run has no checkpoint, or a damaged one.
    """
    config, steps = run.config, run.steps()
    if not steps:
        raise OneshotError("this run has no checkpoint yet", where=run.path, fix="Train it first.")
    wanted = sorted({*steps[every - 1 :: every], steps[-1], run.chosen_step() or steps[-1]})
    found = [Checkpoint(BASE, 0, config.model.of_weights(config.model.path))] if base else []
    for step in wanted:
        folder = run.verified_checkpoint(step, "Delete this checkpoint folder; the others can still be evaluated.")
        found.append(Checkpoint(step_name(step), step, config.model.of_weights(folder)))
    return found


def counting(run: Run, checkpoints: list[Checkpoint]) -> Checkpoint:
    """The one of a run's checkpoints that counts (`Run.chosen_step`); of none, the base."""
    chosen = run.chosen_step([checkpoint.step for checkpoint in checkpoints if checkpoint.step])
    return next((c for c in checkpoints if c.step == chosen), checkpoints[-1])
