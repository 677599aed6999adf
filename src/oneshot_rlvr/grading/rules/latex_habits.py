"""String rules that go back to the MATH dataset's code and that both originals share, faults included."""

from __future__ import annotations

import re


class FaultyError(ValueError):
    """The original raises here; what follows is its caller's rule."""


def braced_fractions(text: str) -> str:
    """`\\frac12` and `\\frac1{72}` with all their braces.

    Raises:
        FaultyError: a `\\frac` with less than two characters after it.
    """
    start, *rest = text.split(r"\frac")
    done = [start]
    for part in rest:
        if not part.startswith("{"):
            if len(part) < 2:
                raise FaultyError(text)
            bottom = part[1:] if part[1] == "{" else f"{{{part[1]}}}{part[2:]}"
            part = f"{{{part[0]}}}{bottom}"
        done.append(part)
    return r"\frac".join(done)


def slash_as_fraction(text: str, roots: bool = False) -> str:
    """`a/b` of two integers as `\\frac{a}{b}`; with `roots`, either may be anything that has a root."""
    parts = text.split("/")

    def fits(part: str) -> bool:
        return bool(re.fullmatch(r"0|-?[1-9]\d*", part, re.A)) or (roots and "sqrt" in part)

    return rf"\frac{{{parts[0]}}}{{{parts[1]}}}" if len(parts) == 2 and all(map(fits, parts)) else text
