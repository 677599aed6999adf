"""Files that a kill cannot spoil: atomic writes, checksums, locks, JSON, and jsonl under zstandard.

Everything is written to a temporary name, flushed, then renamed, so a kill at any point leaves either the old state or
the new one.
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
from typing import Any

import zstandard
from safetensors import SafetensorError

from oneshot_rlvr.errors import OneshotError

Row = dict[str, Any]
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
        recover(folder)
        try:
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
            if folder.exists():
                folder.replace(_doomed(folder))
            temporary.replace(folder)
            _sync(folder.parent)
        finally:
            recover(folder)


def remove_folder(folder: Path) -> None:
    """Take a folder away at once, so that a kill leaves it whole or under a temporary name."""
    recover(folder)
    if folder.exists():
        folder.replace(_doomed(folder))
        shutil.rmtree(_doomed(folder))


def recover(folder: Path) -> None:
    """Bring back a folder whose replacement a kill cut short, and remove what it left beside it."""
    if _doomed(folder).exists() and not folder.exists():
        _doomed(folder).replace(folder)
    for path in (_doomed(folder), folder.with_name(f".{folder.name}.tmp")):
        shutil.rmtree(path, ignore_errors=True)


def sweep(*folders: Path) -> None:
    """Remove what a kill left behind under temporary names, directly in these folders. Only whoever holds them may."""
    for path in [path for folder in folders for path in folder.glob(".*.tmp")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _doomed(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old.tmp")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum_of(text: str) -> str:
    """The `checksum` that a file with this text has."""
    data = text.encode()
    return f"{len(data)}:{zlib.crc32(data):08x}"


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


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder, called `what` in messages, against other processes; the lock ends with this one, however it ends.

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


def in_use(folder: Path) -> bool:
    """Whether a process holds the folder's lock."""
    try:
        with (folder / ".lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock was ever taken, or somebody else's folder
        return False
    return False


def write_json(path: Path, value: Any) -> None:
    """Write a whole JSON file, or leave what was there.

    Raises:
        OneshotError: the disk is full or not writable.
    """
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path, fix: str = "Is this a run folder made by `oneshot train`?") -> Any:
    """A JSON file of a run.

    Raises:
        OneshotError: missing or not JSON; `fix` says what to do.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise OneshotError(f"cannot read it ({error})", where=path, fix=fix) from error


def read_jsonl(path: Path, fix: str = "Check the file.") -> list[Row]:
    """The complete lines of a jsonl file; a last line that a kill cut short is left out.

    Raises:
        OneshotError: a line is damaged; `fix` says what to do.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines if line]
    except (OSError, ValueError, RecursionError) as error:
        raise OneshotError(f"cannot read it ({error})", where=path, fix=fix) from error


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Rows as jsonl under zstandard, atomically."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(path, zstandard.compress(text.encode()))


def read_rows(path: Path, fix: str) -> list[Row]:
    """The rows of a file that `write_rows` wrote.

    Raises:
        OneshotError: it is missing or damaged; `fix` says what to do.
    """
    try:
        return [json.loads(line) for line in zstandard.decompress(path.read_bytes()).splitlines()]
    except (OSError, zstandard.ZstdError, ValueError, RecursionError) as error:
        raise OneshotError(f"cannot read it ({error})", where=path, fix=fix) from error
