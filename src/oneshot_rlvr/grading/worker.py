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

from oneshot_rlvr.processes import die_with_parent

MEMORY_LIMIT = 2 << 30  # bytes of address space
_GRACE = 2.0  # seconds after which a worker that nobody killed ends itself


def serve() -> None:
    """Answer until the parent closes the pipe."""
    die_with_parent(int(sys.argv[1]))
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's print must not look like a reply
    from oneshot_rlvr.grading.modes import MODES
    from oneshot_rlvr.grading.pool import PARSE
    from oneshot_rlvr.grading.symbolic import MathVerify, expression

    symbols = MathVerify()

    def answer(question: dict[str, str]) -> bool:
        if question["mode"] == PARSE:
            return expression(question["answer"]) is not None
        decide = MODES[question["mode"]].rule(question["source"])
        verdict = decide(question["answer"], question["gold"], symbols)
        return bool(verdict and verdict.equal)

    with contextlib.suppress(ValueError, OSError):  # a platform without it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    for line in sys.stdin:
        question = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, question["timeout"] + _GRACE)  # unhandled, the alarm ends the process
        started = time.perf_counter()
        try:
            reply = {"equal": answer(question)}
        except MemoryError:
            reply = {"equal": None}
        except RecursionError:
            reply = {"equal": False}
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.write(json.dumps(reply | {"seconds": time.perf_counter() - started}) + "\n")


if __name__ == "__main__":
    serve()
