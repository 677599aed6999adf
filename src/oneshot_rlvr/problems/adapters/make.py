"""A foreign set's problems as jsonl, or on exit code 1 why there are none. Run as `python -m`, with fixed hashes."""

from __future__ import annotations

import os
import sys

from oneshot_rlvr.errors import first_line
from oneshot_rlvr.problems.adapters import all_of, open_set
from oneshot_rlvr.problems.problem import to_jsonl
from oneshot_rlvr.processes import die_with_parent


def main() -> int:
    """Write them."""
    die_with_parent(int(sys.argv[1]))
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's print is no problem
    try:
        text, code = to_jsonl(all_of(open_set(sys.argv[2]))), 0
    except Exception as error:  # the library's own
        text, code = first_line(error), 1
    with out:
        out.write(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
