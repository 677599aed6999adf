"""Processes of a test's own, forked from a server that has everything imported, which else takes seconds each time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ("commands.app", "commands.session", "evaluation.target", "training.loop", "policy.model")
CONTEXT.set_forkserver_preload(["children", *(f"oneshot_rlvr.{name}" for name in PRELOADED)])


def start(*arguments: object, said: Path | None = None) -> ForkServerProcess:
    """`oneshot` with the arguments, in this folder; its errors go to the file `said`."""
    asked = [str(argument) for argument in arguments]
    process = CONTEXT.Process(target=_command, args=(asked, said or Path(os.devnull)))
    process.start()
    return process


def finish(*arguments: object) -> int | None:
    """`oneshot` with the arguments, in this folder, to its end; its exit code."""
    process = start(*arguments)
    process.join()
    return process.exitcode


def _command(arguments: list[str], said: Path) -> None:
    for number, path in ((1, Path(os.devnull)), (2, said)):
        with path.open("wb", buffering=0) as file:
            os.dup2(file.fileno(), number)
    from oneshot_rlvr.commands.app import main

    sys.argv = ["oneshot", *arguments]
    main()
