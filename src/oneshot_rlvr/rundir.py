"""The run folder: atomic writes, checkpoints, metrics, rollouts, and a lock against a second trainer.

Everything is written to a temporary name, flushed, then renamed, so a kill at any point leaves either the old state or
the new one. Only JSON and safetensors are read back.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import zstandard
from safetensors import SafetensorError

from oneshot_rlvr.errors import OneshotError

MANIFEST = "manifest.json"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed write (a full disk, no permission) into a message with the fix."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OneshotError(
            f"cannot write it: {reason}",
            where=path,
            fix="Free space or mend permissions; nothing was left half-written.",
        ) from error


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a whole file, or leave what was there.

    Raises:
        OneshotError: the disk is full or not writable.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_folder_atomically(folder: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a temporary folder, flush every file, add a manifest of checksums, rename it to `folder`.

    Raises:
        OneshotError: the disk is full or not writable.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    with writing(folder):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            fill(temporary)
            manifest = {
                str(path.relative_to(temporary)): checksum(path)
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            }
            (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
            for path in temporary.rglob("*"):
                _sync(path)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
            _sync(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(path: Path) -> str:
    """Size and CRC-32 of a file."""
    total, size = 0, 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            total, size = zlib.crc32(block, total), size + len(block)
    return f"{size}:{total:08x}"


def verify_folder(folder: Path, fix: str, trainer: bool = False) -> None:
    """Check a folder that `write_folder_atomically` wrote; with `trainer`, also what only resuming needs.

    Raises:
        OneshotError: a file is missing or damaged; `fix` says what to do.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name, expected in manifest.items():
            if (trainer or not name.startswith("trainer/")) and checksum(folder / name) != expected:
                raise OneshotError(f"{name} is damaged", where=folder, fix=fix)
    except (OSError, ValueError) as error:
        raise OneshotError(f"the checkpoint is damaged ({error})", where=folder, fix=fix) from error


def write_json(path: Path, value: Any) -> None:
    """Write a whole JSON file, or leave what was there.

    Raises:
        OneshotError: the disk is full or not writable.
    """
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder, `what` it is called in the message, against other processes; the lock goes with the process, however it ends.

    Raises:
        OneshotError: another process holds it, or the folder cannot be made.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise OneshotError(
            f"another process is using this {what}", where=folder, fix="Wait for it, or give another --out."
        ) from None
    try:
        yield
    finally:
        lock.close()


def read_json(path: Path) -> Any:
    """A JSON file of a run.

    Raises:
        OneshotError: missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OneshotError(
            f"cannot read it ({error})", where=path, fix="Is this a run folder made by `oneshot train`?"
        ) from error


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a jsonl file; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines if line]


def step_name(step: int) -> str:
    """How a step is spelt in files and scores; step 0 is the base."""
    return f"step_{step:06d}" if step else "base"


def step_of(name: str) -> int:
    """The step that `step_name` spelt; any other name (the base, a model by itself) is step 0."""
    step = name.removeprefix("step_")
    return int(step) if name.startswith("step_") and step.isdigit() else 0


class RunDir:
    """One training run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def metrics_path(self) -> Path:
        """One JSON line a step."""
        return self.path / "metrics.jsonl"

    def checkpoint_path(self, step: int) -> Path:
        """The Hugging Face folder of a step."""
        return self.path / "checkpoints" / step_name(step)

    def rollouts_path(self, step: int) -> Path:
        """What was sampled in a step (counted from 1)."""
        return self.path / "rollouts" / f"{step_name(step)}.jsonl.zst"

    @contextmanager
    def locked(self) -> Iterator[RunDir]:
        """Hold the run against other trainers (see `locked`), with its folders made."""
        with locked(self.path, "run folder"):
            for name in ("rollouts", "checkpoints", "eval"):
                with writing(self.path):
                    (self.path / name).mkdir(exist_ok=True)
            yield self

    @property
    def started(self) -> bool:
        """Whether a run is here already. A model folder has a config.json too, but no environment.json."""
        return all((self.path / name).exists() for name in ("config.json", "environment.json"))

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in order."""
        return sorted(step_of(path.name) for path in self.path.glob("checkpoints/step_" + "[0-9]" * 6))

    def resumable_step(self) -> int:
        """The newest checkpoint that keeps what resuming needs; 0 when there is no checkpoint at all.

        Raises:
            OneshotError: there are checkpoints, but none that can be resumed from.
        """
        resumable = [step for step in self.steps() if (self.checkpoint_path(step) / "trainer").is_dir()]
        if self.steps() and not resumable:
            raise OneshotError(
                "none of its checkpoints keeps what resuming needs",
                where=self.path,
                fix="Train again into another --out; its checkpoints are models to start from.",
            )
        return max(resumable, default=0)

    def write_json(self, name: str, value: Any) -> None:
        """Write `name` as JSON."""
        write_json(self.path / name, value)

    def metrics(self) -> list[dict[str, Any]]:
        """The recorded metrics, a line a step."""
        return read_jsonl(self.metrics_path)

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add one step's metrics."""
        with writing(self.metrics_path), self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def write_rollouts(self, step: int, rows: Iterable[dict[str, Any]]) -> None:
        """Write what a step sampled, graded, and its advantages."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_atomically(self.rollouts_path(step), zstandard.compress(text.encode()))

    def read_rollouts(self, step: int) -> list[dict[str, Any]]:
        """The rollouts of a step."""
        return [json.loads(line) for line in zstandard.decompress(self.rollouts_path(step).read_bytes()).splitlines()]

    def rollout_steps(self) -> list[int]:
        """The steps whose rollouts are here."""
        return sorted(step_of(path.name.split(".")[0]) for path in self.path.glob("rollouts/step_*.jsonl.zst"))

    def cut_after(self, step: int) -> None:
        """Forget metrics and rollouts past a checkpoint: they will be made again."""
        kept = [line for line in self.metrics() if line["step"] <= step]
        write_atomically(self.metrics_path, "".join(json.dumps(line) + "\n" for line in kept))
        for later in self.rollout_steps():
            if later > step:
                self.rollouts_path(later).unlink()

    def drop_trainer_states(self, keep: int) -> None:
        """Delete what only resuming needs from all but the newest `keep` checkpoints."""
        held = [step for step in self.steps() if (self.checkpoint_path(step) / "trainer").is_dir()]
        for step in held[:-keep]:
            doomed = self.checkpoint_path(step) / ".trainer.tmp"
            (self.checkpoint_path(step) / "trainer").replace(doomed)  # at once, so that a kill leaves no half of it
            shutil.rmtree(doomed)
