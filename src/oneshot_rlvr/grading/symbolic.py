"""The worker's side: read {"answer", "gold"} lines, write true or false. Run as `python -m`, killed from outside.

Not multiprocessing: its spawn re-imports the user's main script, and the pipe would carry pickles.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import cast

MEMORY_LIMIT = 2 << 30  # bytes of address space


def serve() -> None:
    """Answer until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's print must not look like a reply
    from math_verify import LatexExtractionConfig, parse, verify

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))

    def read(text: str) -> list:
        found = [LatexExtractionConfig()]  # the parent is the time limit: math-verify's own needs SIGALRM
        return parse(f"\\boxed{{{text}}}", extraction_config=found, parsing_timeout=cast(int, None))

    for line in sys.stdin:
        pair = json.loads(line)
        try:
            equal = bool(verify(read(pair["gold"]), read(pair["answer"]), timeout_seconds=None))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError, MemoryError):
            equal = False  # math-verify could not make sense of the text
        replies.write(f"{json.dumps(equal)}\n")


if __name__ == "__main__":
    serve()
