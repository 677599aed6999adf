"""Child processes that do not outlive their parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from multiprocessing import popen_spawn_posix, spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """In a child of process `parent`: leave Ctrl-C to it, and end when it is gone, however and whenever that was.

    Linux sends the signal; elsewhere the end of a pipe must do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class _Popen(popen_spawn_posix.Popen):
    """Starts a child that is bound to its parent before it reads, and so imports, anything."""

    def _launch(self, process_obj: Any) -> None:
        plain = spawn.get_command_line

        def bound(**options: Any) -> list[str]:
            *before, program, marker = plain(**options)
            first = f"from oneshot_rlvr.processes import die_with_parent; die_with_parent({os.getpid()}); "
            return [*before, first + program, marker]

        spawn.get_command_line = bound
        try:
            super()._launch(process_obj)  # pyrefly: ignore[missing-attribute]
        finally:
            spawn.get_command_line = plain


class _Process(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return _Popen(process_obj)


class _Context(SpawnContext):
    Process = _Process


# For a `ProcessPoolExecutor`: as "spawn", but no child outlives its parent, however early that dies.
BOUND = _Context() if os.name == "posix" else SpawnContext()
