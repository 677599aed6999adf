"""The worker's side of `pool.py`: questions in, verdicts out, as JSON lines. Run as `python -m`, killed from outside.

Not multiprocessing: its spawn re-imports the user's main script, and the pipe would carry pickles.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from oneshot_rlvr.processes import die_with_parent

MEMORY_LIMIT = 2 << 30  # bytes of address space, or
HEADROOM = 1 << 30  # beyond what a library has taken by being imported, where that is more
_GRACE = 2.0  # seconds after which a worker that nobody killed ends itself

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def serve(prepare: Callable[[], tuple[Answer, Mapping[str, Any]]]) -> None:
    """Answer until the parent closes the pipe.

    `prepare` imports what is needed and returns what answers, and the reply to the first question, which is only
    whether this is ready.
    """
    die_with_parent(int(sys.argv[1]))
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's print must not look like a reply
    answer, ready = prepare()
    limit_memory(max(MEMORY_LIMIT, address_space() + HEADROOM))
    for line in sys.stdin:
        question = json.loads(line)
        if set(question) == {"timeout"}:
            replies.write(json.dumps({"equal": None, "seconds": 0.0, **ready}) + "\n")
            continue
        signal.setitimer(signal.ITIMER_REAL, question["timeout"] + _GRACE)  # unhandled, the alarm ends the process
        started = time.perf_counter()
        try:
            reply = answer(question)
        except MemoryError:
            reply = {"equal": None}
        except RecursionError:
            reply = {"equal": False}
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.write(json.dumps({**reply, "seconds": time.perf_counter() - started}) + "\n")


def limit_memory(limit: int) -> None:
    """From now on this process may map no more bytes; the limit can be lowered again, not raised."""
    with contextlib.suppress(ValueError, OSError):  # a platform without it, or lower already
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def address_space() -> int:
    """Bytes that this process has mapped."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * resource.getpagesize()


def symbols() -> tuple[Answer, Mapping[str, Any]]:
    """Whether answers equal golds, with a computer algebra system that has been warmed up."""
    from oneshot_rlvr.grading.modes import MODES
    from oneshot_rlvr.grading.pool import PARSE
    from oneshot_rlvr.grading.symbolic import MathVerify, expression

    known = MathVerify()

    def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
        if question["mode"] == PARSE:
            return {"equal": expression(question["answer"]) is not None}
        decide = MODES[question["mode"]].rule(question["source"])
        verdict = decide(question["answer"], question["gold"], known)
        return {"equal": bool(verdict and verdict.equal)}

    answer({"mode": "default", "answer": "x+1", "gold": "1+x", "source": ""})
    return answer, {}


if __name__ == "__main__":
    serve(symbols)
