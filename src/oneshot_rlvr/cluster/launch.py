"""Run an export in verl's own environment: apart from this process, so that it outlives a closed terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from oneshot_rlvr.cluster.folder import LAUNCH, Folder
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import locked, read_json, read_jsonl, write_json

POLL = 1.0  # seconds between two looks
OnStep = Callable[[int, dict[str, Any]], None]  # step, verl's metrics


def launch(folder: Folder, python: str, extra: tuple[str, ...] = ()) -> int:
    """Begin, or go on from verl's newest checkpoint; returns the launch's number. Nothing is begun where one runs.

    `extra` are further overrides.

    Raises:
        OneshotError: another process is beginning one.
    """
    with locked(folder.path, "export"):
        if (running := running_launch(folder)) is not None:
            return running
        number = max(int(time.time()), max(folder.launches(), default=0) + 1)
        console = folder.console_path(number)
        console.parent.mkdir(exist_ok=True)
        console.touch()
        environment = os.environ | {"PYTHON": python, LAUNCH: str(number)}
        process = subprocess.Popen(
            ["bash", str(folder.path.resolve() / "run.sh"), *extra],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a hang-up of the terminal is not its
        )
        write_json(folder.path / "logs" / "launch.json", {"launch": number, "pid": process.pid})
    return number


def running_launch(folder: Folder) -> int | None:
    """The launch that runs now on this machine, if one does."""
    path = folder.path / "logs" / "launch.json"
    if not path.exists():
        return None
    found = read_json(path)
    alive = not folder.exit_path(found["launch"]).exists() and _alive(found["pid"])
    return found["launch"] if alive else None


def _alive(pid: int) -> bool:
    """Whether a process is there and not a zombie of ours."""
    try:
        done, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # another program began it
        return Path(f"/proc/{pid}").exists() if Path("/proc").is_dir() else _signalled(pid)
    return done == 0


def _signalled(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def stop(folder: Folder) -> bool:
    """End the launch that runs here, with all that it began; whether there was one."""
    if running_launch(folder) is None:
        return False
    os.killpg(read_json(folder.path / "logs" / "launch.json")["pid"], signal.SIGTERM)
    return True


def follow(folder: Folder, number: int, on_step: OnStep) -> int:
    """Tell of each step that a launch makes, until it ends; returns its exit code.

    Raises:
        OneshotError: it ended without one: it was killed.
    """
    seen = 0
    while True:
        running = running_launch(folder) == number  # asked first: what ends after it is read below
        lines = read_jsonl(folder.metrics_path(number))
        for line in lines[seen:]:
            on_step(int(line["step"]), line["data"])
        seen = len(lines)
        if not running:
            break
        time.sleep(POLL)
    path = folder.exit_path(number)
    if not path.exists():
        raise OneshotError(
            "the run was killed", where=folder.console_path(number), fix="The same command goes on with it."
        )
    return int(path.read_text())


def last_words(folder: Folder, number: int, count: int = 3) -> list[str]:
    """What a failed launch said last, errors first."""
    lines = folder.console_path(number).read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if _is_error(line)]
    return (errors or lines)[-count:]


def _is_error(line: str) -> bool:
    return "Error" in line and "ERROR" not in line[:4]


def logged(folder: Folder) -> Iterator[tuple[int, dict[str, Any]]]:
    """verl's metrics of every step, of the last launch that made the step."""
    found: dict[int, dict[str, Any]] = {}
    for number in folder.launches():
        for line in read_jsonl(folder.metrics_path(number)):
            found[int(line["step"])] = line["data"]
    yield from sorted(found.items())
