"""The worker's side of `scored.py`: another library's scorer, on a model's text, with the doors shut.

The library is trusted, the text is not. What the scorers are known to evaluate is taken from them by the adapter's
`make_safe`; should one still be led astray, an audit hook refuses it files, processes and the network, and the parent
kills it at its time limit.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from oneshot_rlvr.grading.worker import Answer, serve

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
    """The set's scorer, tried on the gold of its first problem; or why there is none."""
    from oneshot_rlvr.problems.adapters import adapters_module, open_set

    name = sys.argv[2]
    try:
        opened = open_set(name)
        if make_safe := getattr(importlib.import_module(adapters_module(name)), "make_safe", None):
            make_safe()
        opened.check()
    except Exception as error:  # the library's, of any kind; the parent says which
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return lambda question: {"equal": None}, {"failed": reason}
    shut_doors()

    def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
        opinion = opened.score(question["index"], question["text"], question["answer"])
        return {"equal": opinion.score >= 1.0, "score": opinion.score, "answer": opinion.answer}

    return answer, {}


if __name__ == "__main__":
    serve(prepare)
