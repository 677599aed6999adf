"""The worker's side of `scored.py`: another library's scorer, on a model's text, with the doors shut.

The library is trusted, the text is not. What the scorers are known to evaluate is taken from them by the adapter's
`make_safe`; should one still be led astray, an audit hook refuses it writing, programs and the network, and the parent
kills it at its time limit.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from oneshot_rlvr.errors import first_line
from oneshot_rlvr.grading.worker import Answer, address_space, limit_memory, serve

if TYPE_CHECKING:
    from oneshot_rlvr.problems.adapters import ForeignSet

MEMORY_TO_OPEN = 4 << 30  # bytes of address space for making a set: mapped data counts
AHEAD, MOST_AHEAD = 30.0, 1_000  # seconds, problems
READING = ("os.listdir", "os.scandir", "os.walk", "os.fwalk")  # what an import may do
SHUT = (
    "os.",
    "subprocess.",
    "socket.",
    "shutil.",
    "ctypes.",
    "pty.",
    "urllib.",
    "http.",
    "ftplib.",
    "smtplib.",
    "fcntl.",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def shut_doors() -> None:
    """From now on this process opens nothing for writing, starts nothing and reaches nothing."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        if (isinstance(flags, int) and flags & WRITING) or (isinstance(mode, str) and set(mode) & set("wax+")):
            raise PermissionError("a scorer may not write")
    elif event.startswith(SHUT) and event not in READING:
        raise PermissionError(f"a scorer may not do {event}")


def prepare() -> tuple[Answer, Mapping[str, Any]]:
    """The set's scorer, tried on the gold of its first problem behind shut doors; or why there is none."""
    from oneshot_rlvr.problems.adapters import adapter_of, adapters_module, open_set

    name = sys.argv[2]
    try:
        importlib.import_module(adapter_of(name).package)
        limit_memory(address_space() + MEMORY_TO_OPEN)
        opened = open_set(name)
        if make_safe := getattr(importlib.import_module(adapters_module(name)), "make_safe", None):
            make_safe()
        _make_ahead(opened)
        shut_doors()
        opened.check()
    except Exception as error:  # the library's, of any kind; the parent says which
        return lambda question: {"equal": None}, {"failed": first_line(error)}

    def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
        here = opened.problem(question["index"])
        if (here.question, here.answer) != (question["question"], question["gold"]):
            return {"equal": None, "failed": f"it makes another problem than this one at place {question['index']}"}
        opinion = opened.score(question["index"], question["text"], question["answer"])
        return {"equal": opinion.score >= 1.0, "score": opinion.score, "answer": opinion.answer}

    return answer, {}


def _make_ahead(opened: ForeignSet) -> None:
    """The first problems, as far as `AHEAD` seconds go, so that making one is not on an answer's time."""
    started = time.monotonic()
    for index in range(min(len(opened), MOST_AHEAD)):
        opened.problem(index)
        if time.monotonic() - started > AHEAD:
            return


if __name__ == "__main__":
    serve(prepare)
