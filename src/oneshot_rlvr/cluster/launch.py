"""Run an export in verl's own environment: apart from this process, so that it outlives a closed terminal."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oneshot_rlvr.cluster.folder import LAUNCH, Folder
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import locked, read_json, read_jsonl, write_json

POLL = 1.0  # seconds between two looks
PATIENCE = 20.0  # seconds for a launch to end, before it is made to
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
        about = {"launch": number, "pid": process.pid, "host": platform.node(), "began": began_at(process.pid)}
        write_json(folder.path / "logs" / "launch.json", about)
    return number


def running_launch(folder: Folder) -> int | None:
    """The launch that runs now on this machine, with anything that it began, if one does.

    Raises:
        OneshotError: one was begun on another machine and has not ended there.
    """
    path = folder.path / "logs" / "launch.json"
    if not path.exists():
        return None
    found = read_json(path)
    if found["host"] != platform.node():
        if folder.exit_path(found["launch"]).exists():
            return None
        raise OneshotError(
            f"a launch was begun on {found['host']}",
            where=folder.path,
            fix=f"Run there, or delete {path} if it is dead.",
        )
    with contextlib.suppress(ChildProcessError):
        os.waitpid(found["pid"], os.WNOHANG)  # a child of ours that has ended is no process any more
    ended = folder.exit_path(found["launch"]).exists()
    return None if ended or not _alive(found["pid"], found["began"]) else found["launch"]


def _alive(group: int, began: str | None) -> bool:
    """Whether anything of a process group is there, the dead ones that nobody has buried aside.

    Another process that has got its number since, which its beginning tells, is not it.
    """
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True
    leader = _stat(group)
    if leader and began and leader[_BEGAN] != began:
        return False
    numbers = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    stats = filter(None, map(_stat, numbers))
    return any(stat[_GROUP] == str(group) and stat[_STATE] not in "ZX" for stat in stats)


_STATE, _GROUP, _BEGAN = 0, 2, 19  # of what /proc/PID/stat says behind the name


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def began_at(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None where nobody says."""
    stat = _stat(pid)
    return stat[_BEGAN] if stat else None


def stop(folder: Folder) -> bool:
    """End the launch that runs here, with all that it began; whether there was one."""
    if running_launch(folder) is None:
        return False
    group = read_json(folder.path / "logs" / "launch.json")["pid"]
    for kind, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, PATIENCE)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, kind)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if running_launch(folder) is None:
                return True
            time.sleep(0.1)
    raise OneshotError("it does not end", where=f"process group {group}", fix="Look at it with ps.")


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
    return "Error" in line and not line.startswith("ERROR")
