"""The one exception that a user is meant to read."""

from __future__ import annotations

import struct


class OneshotError(Exception):
    """A user's mistake: what was wrong, where, and the fix, on one line.

    The command line prints it and exits with code 2; broken invariants raise other exceptions and keep their traceback.
    """

    def __init__(self, what: str, *, where: object = None, fix: str | None = None) -> None:
        message = what if where is None else f"{where}: {what}"
        if fix:
            message = f"{message.rstrip('.')}. {fix}"
        super().__init__(" ".join(message.split()))


class NotFinite(OneshotError):  # noqa: N818 - a state, named as one
    """A metric became infinite or NaN; `metric` names it. What it would have changed is as it was."""

    def __init__(self, metric: str, value: float) -> None:
        super().__init__(f"{metric} is {value}; this update was not made")
        self.metric = metric


class Interrupted(Exception):  # noqa: N818 - it is not an error
    """Work was stopped by Ctrl-C or SIGTERM after what it had was saved; it can go on."""


# What other people's code may trip over, a model's, a template's or a file's reader's: never caught around our own.
FOREIGN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of what another library says, or the kind of its error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:most]


def nearest(name: str, choices: list[str]) -> str:
    """A "did you mean" hint for a misspelt name: the nearest choice, of equals one of the same letters; else all."""
    import difflib

    def likeness(choice: str) -> tuple[float, bool]:
        return difflib.SequenceMatcher(None, choice, name).ratio(), sorted(choice) == sorted(name)

    close = max(choices, key=likeness, default="")
    if likeness(close)[0] >= 0.5:
        return f"Did you mean {close!r}?"
    return f"Choose from: {', '.join(sorted(choices))}"
