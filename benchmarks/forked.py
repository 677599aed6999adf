"""Commands in forked processes of a program that has everything imported, killed where a campaign wants them killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT = 30.0  # seconds
OPERATIONS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "shutil.copyfile")


@dataclass
class Ended:
    """How a command ended: its exit code (None when it was killed), what it said, and how long it took."""

    code: int | None
    said: str
    seconds: float
    operations: int = 0
    orphans: int = 0


def command(arguments: list[str], cwd: Path, operation: int = 0, after: float = 0.0, limit: float = LIMIT) -> Ended:
    """One command in a forked process, killed before its n-th file operation or after so many seconds."""
    said, count = cwd / ".said", cwd / ".count"
    said.write_text("")
    count.write_text("0")
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _run(arguments, cwd, said, count, operation)
    status, limit = None, min(after or limit, limit)
    while status is None:
        found, code = os.waitpid(pid, os.WNOHANG)
        if found:
            status = code
        elif time.monotonic() - started > limit:
            os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        else:
            time.sleep(0.002)
    seconds = time.monotonic() - started
    orphans = _orphans(pid)
    text = said.read_text(errors="replace")
    ended = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    result = Ended(ended, text, seconds, int(count.read_text() or 0), orphans)
    for path in (said, count):
        path.unlink()
    return result


def _run(arguments: list[str], cwd: Path, said: Path, count: Path, operation: int) -> None:
    """The forked side; never returns."""
    os.setsid()
    os.chdir(cwd)
    with said.open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    done = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal done
        written = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if written or event in OPERATIONS:
            done += 1
            if done == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    code = 1
    try:
        from oneshot_rlvr.commands.app import app

        sys.argv = ["oneshot", *arguments]
        app()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        count.write_text(str(done))
        os._exit(code)


def _orphans(group: int) -> int:
    """Whether processes of a dead command's group still live after a few seconds; they are killed then."""
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return 0
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    return 1
