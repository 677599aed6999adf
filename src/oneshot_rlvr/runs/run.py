"""A run: the folder of one training, read and written through types.

`config.json` (values and their sources), `environment.json`, `problems.jsonl`, `metrics.jsonl`,
`rollouts/step_N.jsonl.zst`, `checkpoints/step_N/` (a Hugging Face folder; `trainer/` in the newest ones), `eval*/`,
`report.html`. Only JSON and safetensors are read back.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import checksum, in_use, locked, remove_folder, sweep, verify_folder, write_atomically, writing
from oneshot_rlvr.problems import Problem, load_problems, to_jsonl
from oneshot_rlvr.runs.evaluation import DEFAULT, EvaluationFolder
from oneshot_rlvr.runs.naming import step_name, step_of
from oneshot_rlvr.runs.shapes import METRICS, ROLLOUTS, checked
from oneshot_rlvr.sealing import (
    read_record,
    read_sealed_lines,
    read_sealed_rows,
    sealed,
    write_record,
    write_sealed_rows,
)

Row = dict[str, Any]
STOPPED = "run/stopped"  # the metric that says that `run.stop_when` ended the run
AGAIN = "Is it a run folder of `oneshot train`? A damaged one has to start again."


class Run:
    """One training run. Reading asks the files each time, so that a run may be looked at while it goes on."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def at(cls, path: Path | str) -> Run:
        """The run in a folder.

        Raises:
            OneshotError: there is none.
        """
        run = cls(path)
        if not run.started:
            raise OneshotError("no run in this folder", where=path, fix="Give a folder that `oneshot train` wrote.")
        return run

    @classmethod
    def of_checkpoint(cls, folder: Path) -> Run | None:
        """The run whose checkpoint a path names, if it does."""
        folder = folder.resolve()
        run = cls(folder.parent.parent)
        return run if folder.parent.name == "checkpoints" and run.started else None

    # What it was asked to do

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def started(self) -> bool:
        """Whether a run is here already. A model folder has a config.json too, but no environment.json."""
        return all((self.path / name).exists() for name in ("config.json", "environment.json"))

    @property
    def config(self) -> Config:
        """The resolved configuration.

        Raises:
            OneshotError: no run there, or a damaged configuration.
        """
        try:
            values = read_record(self.path / "config.json", AGAIN)["values"]
            values["sampling"].setdefault("stop_at_turn_end", False)  # the first edition knew no turns
            return Config.model_validate(values)
        except (KeyError, TypeError, ValueError) as error:
            raise OneshotError("the configuration is damaged", where=self.path / "config.json", fix=AGAIN) from error

    @property
    def sources(self) -> dict[str, str]:
        """Where each value of the configuration came from."""
        return read_record(self.path / "config.json", AGAIN).get("sources", {})

    @property
    def environment(self) -> Row:
        """What a result may depend on besides the configuration."""
        return read_record(self.path / "environment.json", AGAIN)

    @property
    def problems(self) -> list[Problem]:
        """The run's own copy of what it is trained on.

        Raises:
            OneshotError: it is not what the run began with.
        """
        path, known = self.path / "problems.jsonl", self.environment.get("problems")
        if known is not None and path.exists() and checksum(path) != known:
            raise OneshotError("it was damaged or edited after it was written", where=path, fix=AGAIN)
        return load_problems(path)

    def write_config(self, config: Config, sources: Mapping[str, str]) -> None:
        """The resolved configuration, and where each value came from."""
        write_record(self.path / "config.json", {"values": config.model_dump(mode="json"), "sources": dict(sources)})

    def write_environment(self, environment: Row) -> None:
        """What it runs on, and the checksum of the problems that were kept."""
        problems = {"problems": checksum(self.path / "problems.jsonl")}
        write_record(self.path / "environment.json", environment | problems)

    def write_problems(self, problems: Sequence[Problem]) -> None:
        """Keep what it is trained on."""
        write_atomically(self.path / "problems.jsonl", to_jsonl(problems))

    @contextmanager
    def locked(self) -> Iterator[Run]:
        """Hold the run against other trainers, with its folders made."""
        with locked(self.path, "run folder"):
            for name in ("rollouts", "checkpoints", "eval"):
                with writing(self.path):
                    (self.path / name).mkdir(exist_ok=True)
            sweep(self.path, *(self.path / name for name in ("rollouts", "checkpoints")))
            sweep(*(self.checkpoint_path(step) for step in self.steps()))
            yield self

    @property
    def state(self) -> Literal["running", "finished", "stopped", "unfinished"]:
        """Whether it is being trained now, reached its last step, was ended by `run.stop_when`, or was left."""
        if in_use(self.path):
            return "running"
        if self.steps()[-1:] == [self.config.run.steps]:
            return "finished"
        return "stopped" if self.stopped else "unfinished"

    def remove_if_empty(self) -> None:
        """Take back the folders of a run that never began."""
        (self.path / ".lock").unlink(missing_ok=True)
        for folder in (*self.path.iterdir(), self.path):
            folder.rmdir()

    # What happened at each step

    @property
    def metrics_path(self) -> Path:
        """One JSON line a step."""
        return self.path / "metrics.jsonl"

    def metrics(self) -> list[Row]:
        """The recorded metrics, a line a step."""
        fix = "Delete it: resuming repeats no step for it; reports lose their curves."
        lines = checked(METRICS, read_sealed_lines(self.metrics_path, fix), self.metrics_path, fix)
        steps = [line["step"] for line in lines]
        saved = max(self.steps(), default=0)
        if steps and (steps != list(range(int(steps[0]), int(steps[0]) + len(steps))) or steps[-1] < saved):
            raise OneshotError("it lacks some steps", where=self.metrics_path, fix=fix)
        return lines

    @property
    def stopped(self) -> bool:
        """Whether `run.stop_when` has ended it, and its last checkpoint is there."""
        return any(line.get(STOPPED) and line["step"] in self.steps() for line in self.metrics()[-1:])

    def append_metrics(self, line: Row) -> None:
        """Add one step's metrics."""
        with writing(self.metrics_path), self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(sealed(line)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _rollouts_path(self, step: int) -> Path:
        return self.path / "rollouts" / f"{step_name(step)}.jsonl.zst"

    def rollout_steps(self) -> list[int]:
        """The steps whose rollouts are here, counted from 1."""
        return sorted(step_of(path.name.split(".")[0]) for path in self.path.glob("rollouts/step_*.jsonl.zst"))

    def has_rollouts(self, step: int) -> bool:
        """Whether a step's rollouts are here."""
        return self._rollouts_path(step).exists()

    def rollouts(self, step: int) -> list[Row]:
        """What a step sampled, graded, and its advantages.

        Raises:
            OneshotError: the file is missing or damaged.
        """
        path, fix = self._rollouts_path(step), "Delete it: it serves reports and selection alone."
        return checked(ROLLOUTS, read_sealed_rows(path, fix), path, fix)

    def write_rollouts(self, step: int, rows: Iterable[Row]) -> None:
        """Keep them."""
        write_sealed_rows(self._rollouts_path(step), rows)

    @property
    def diverged(self) -> dict[str, Any] | None:
        """The step whose loss or gradient was not finite, and which of them, where a run ended so."""
        return read_record(self._diverged_path, "Delete it.") if self._diverged_path.exists() else None

    def note_divergence(self, step: int, why: str) -> None:
        """Record how a run ended, for the doctor."""
        write_record(self._diverged_path, {"step": step, "why": why})

    @property
    def _diverged_path(self) -> Path:
        return self.path / "diverged.json"

    def cut_after(self, step: int) -> None:
        """Forget metrics and rollouts past a checkpoint: they will be made again."""
        self._diverged_path.unlink(missing_ok=True)
        kept = [line for line in self.metrics() if line["step"] <= step]
        write_atomically(self.metrics_path, "".join(json.dumps(sealed(line)) + "\n" for line in kept))
        for later in self.rollout_steps():
            if later > step:
                self._rollouts_path(later).unlink()

    # Checkpoints

    def checkpoint_path(self, step: int) -> Path:
        """The Hugging Face folder of a step."""
        return self.path / "checkpoints" / step_name(step)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in order."""
        return sorted(step_of(path.name) for path in self.path.glob("checkpoints/step_" + "[0-9]" * 6))

    def verified_checkpoint(self, step: int, fix: str, trainer: bool = False) -> Path:
        """A checkpoint's folder, whole; with `trainer`, what only resuming needs is looked at too.

        Raises:
            OneshotError: it is missing or damaged; `fix` says what to do.
        """
        verify_folder(self.checkpoint_path(step), fix, trainer)
        return self.checkpoint_path(step)

    def chosen_step(self, among: Collection[int] | None = None) -> int | None:
        """The checkpoint that counts: the one that validation chose, else the last; None if there is none.

        `among` restricts it, to the steps that were evaluated, say.
        """
        known = self.steps() if among is None else sorted(among)
        best = self.validated_step()
        return best if best in known else known[-1] if known else None

    def validated_step(self) -> int | None:
        """The saved step with the highest validation accuracy, the earliest of equals; None if it never validated."""
        saved = set(self.steps())
        scored = [
            (value, -line["step"])
            for line in self.metrics()
            for name, value in line.items()
            if name.startswith("validation/") and line["step"] in saved
        ]
        return -max(scored)[1] if scored else None

    def _holds_trainer(self, step: int) -> bool:
        return (self.checkpoint_path(step) / "trainer").is_dir()

    def resumable_step(self) -> int:
        """The newest checkpoint that keeps what resuming needs; 0 when there is no checkpoint at all.

        Raises:
            OneshotError: there are checkpoints, but none that can be resumed from.
        """
        resumable = [step for step in self.steps() if self._holds_trainer(step)]
        if self.steps() and not resumable:
            raise OneshotError(
                "none of its checkpoints keeps what resuming needs",
                where=self.path,
                fix="Train again into another --out; its checkpoints are models to start from.",
            )
        return max(resumable, default=0)

    def drop_trainer_states(self, keep: int) -> None:
        """Delete what only resuming needs from all but the newest `keep` checkpoints."""
        for step in [step for step in self.steps() if self._holds_trainer(step)][:-keep]:
            self._drop_trainer_state(step)

    def _drop_trainer_state(self, step: int) -> None:
        doomed = self.checkpoint_path(step) / ".trainer.tmp"
        (self.checkpoint_path(step) / "trainer").replace(doomed)  # at once, so that a kill leaves no half of it
        shutil.rmtree(doomed)

    def keep_checkpoints(self, steps: Collection[int]) -> None:
        """Delete the other checkpoints, and of these what only resuming needs."""
        for step in self.steps():
            if step not in steps:
                remove_folder(self.checkpoint_path(step))
            elif self._holds_trainer(step):
                self._drop_trainer_state(step)

    # Evaluations

    def evaluation(self, protocol: str | None = None) -> EvaluationFolder:
        """The evaluation under a protocol; without one the default's, else the newest."""
        default = EvaluationFolder(self.path / EvaluationFolder.name_of(protocol or DEFAULT))
        if protocol is not None or default.scores_path.exists():
            return default
        found = sorted(self.path.glob("eval-*/scores.json"), key=lambda file: file.stat().st_mtime)
        return EvaluationFolder(found[-1].parent) if found else default
