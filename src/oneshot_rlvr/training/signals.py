"""Ctrl-C and SIGTERM, as the loop hears them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came; the second Ctrl-C acts at once. What is ignored stays so, and off the main thread
    signals are left alone."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        with suppress(OSError):  # nobody may be reading; print is not reentrant
            os.write(2, b"\nStops after this step and can be resumed; Ctrl-C again stops now.\n")

    try:
        heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, ask) for number in heard}
    except ValueError:  # not the main thread
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
