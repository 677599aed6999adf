"""Symbolic work in processes of their own, which the parent kills at their time limit and replaces.

Model output is hostile text: some of it freezes a computer algebra system for ever, with the interpreter's lock held.
Each thread of a small pool owns one worker process; the threads wait in `select`, so nothing else in the program waits
with them. Usable from any thread, and from asyncio through `Grader.agrade_many`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from oneshot_rlvr.errors import OneshotError

PARSE = "parse"  # the mode of a question that only asks whether an expression can be read
START_LIMIT = 120.0  # seconds to import and warm up; not the first answer's time


@dataclass(frozen=True)
class Question:
    """A pair to decide under a mode, for a problem of a source."""

    mode: str
    answer: str
    gold: str
    source: str = ""


@dataclass(frozen=True)
class Reply:
    """`equal` is None when the worker hit its limit of time or memory; `seconds` is what it spent.

    A scorer of another library's adds its `score`, and the `answer` that it read; `failed` says why it cannot start.
    """

    equal: bool | None
    seconds: float
    score: float | None = None
    answer: str | None = None
    failed: str | None = None


@dataclass(frozen=True)
class Program:
    """What a worker runs: a module of ours with arguments; `ready` looks at its first reply, and may raise.

    `environment` is added to this process's.
    """

    module: str = "oneshot_rlvr.grading.worker"
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[Reply], None] = lambda reply: None


class WorkerPool:
    """At most `size` workers, started when first needed."""

    def __init__(self, timeout: float = 3.0, size: int | None = None, program: Program | None = None) -> None:
        self.timeout = timeout
        self.program = program or Program()
        self.size = size or max(1, min(4, (os.cpu_count() or 2)))
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._workers = _Workers(self.program)
        self._closing = weakref.finalize(self, self._workers.kill)

    def ask(self, questions: Sequence[Any]) -> list[Reply]:
        """Replies to questions (dataclasses, as the program has them), in order.

        An interruption kills the workers and goes on up.
        """
        if not questions:
            return []
        if self._process != os.getpid():  # forked: threads and workers stayed with the parent
            self._closing.detach()
            self._reset()
        with self._lock:
            self._threads = self._threads or ThreadPoolExecutor(self.size, thread_name_prefix="grading")
            threads = self._threads
        futures = [threads.submit(self._workers.reply, question, self.timeout) for question in questions]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            self._workers.kill()
            raise

    def close(self) -> None:
        """Kill the workers and end the threads; a later `ask` starts new ones."""
        with self._lock:
            threads, self._threads = self._threads, None
        self._workers.kill()
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)
        self._workers.kill()

    def pids(self) -> list[int]:
        """The living workers' process ids."""
        return self._workers.pids()


@functools.cache
def standing_pool(timeout: float = 3.0, size: int | None = None) -> WorkerPool:
    """The pool that a program's runs and evaluations share, so that each need not wait for workers of its own.

    It ends with the program.
    """
    return WorkerPool(timeout, size)


class _Workers:
    """The worker processes: idle ones wait here, busy ones are remembered so that they can be killed."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._all: set[subprocess.Popen[bytes]] = set()

    def reply(self, question: Any, timeout: float) -> Reply:
        """Ask one worker; one that is late, or dies of what it read, is replaced at the next question."""
        worker = self._take()
        started = time.perf_counter()
        try:
            found = _ask(worker, question, timeout)
        except (TimeoutError, EOFError, OSError):  # too slow; or killed, by a limit, a signal or `kill`
            self._drop(worker)
            return Reply(None, time.perf_counter() - started)
        with self._lock:
            if worker in self._all:
                self._idle.append(worker)
        return found

    def kill(self) -> None:
        """Kill all; a busy one is buried by the thread that waits for it."""
        with self._lock:
            busy, idle = self._all.difference(self._idle), self._idle
            self._all, self._idle = set(), []
            for worker in busy:
                worker.kill()
        for worker in idle:
            _end(worker)

    def pids(self) -> list[int]:
        with self._lock:
            return [worker.pid for worker in self._all if worker.poll() is None]

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.poll() is None:
                    return worker
                self._all.discard(worker)
            worker = _start(self._program)
            self._all.add(worker)
        try:
            self._program.ready(_ask(worker, None, START_LIMIT))
        except (TimeoutError, EOFError, OSError) as error:
            self._drop(worker)
            raise OneshotError(
                "a grading process did not start",
                where=" ".join((self._program.module, *self._program.arguments)),
                fix="Is there memory left? Run it with `python -m` to see why.",
            ) from error
        except BaseException:
            self._drop(worker)
            raise
        return worker

    def _drop(self, worker: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._all.discard(worker)
        _end(worker)


def _start(program: Program) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", program.module, str(os.getpid()), *program.arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=os.environ | program.environment, **pipes)


def _ask(worker: subprocess.Popen[bytes], question: Any, timeout: float) -> Reply:
    """A worker's reply; to no question it says, once, that it is ready."""
    assert worker.stdin and worker.stdout
    line = json.dumps((asdict(question) if question else {}) | {"timeout": timeout})
    worker.stdin.write(line.encode() + b"\n")
    worker.stdin.flush()
    if not select.select([worker.stdout], [], [], timeout)[0]:
        raise TimeoutError
    reply = worker.stdout.readline()
    if not reply:
        raise EOFError
    return Reply(**json.loads(reply))


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not flushed to a dead worker
                pipe.close()
