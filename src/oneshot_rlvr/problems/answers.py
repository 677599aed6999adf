"""Where an answer stands in a text: the last balanced `\\boxed{}`, or what follows `####`."""

from __future__ import annotations

import re

_BOX = re.compile(r"\\boxed\s*\{")
_HASH = re.compile(r"####[ \t]*([^\n]*)")


def boxed_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of the content of every balanced, outermost `\\boxed{...}`, in order. Linear in the text.

    A backslash before a brace (`\\{`) makes it a printed brace, which does not nest.
    """
    spans, position = [], 0
    while match := _BOX.search(text, position):
        end = _closing_brace(text, match.end())
        if end is None:  # an unclosed box: a later, closed one inside it still counts
            position = match.end()
            if "}" not in text[position:]:
                break
            continue
        spans.append((match.end(), end))
        position = end
    return spans


def _closing_brace(text: str, start: int, limit: int = 4000) -> int | None:
    """The index of the brace that closes the one before `start`; None when it is not within `limit` characters."""
    depth, position, stop = 1, start, min(len(text), start + limit)
    while position < stop:
        character = text[position]
        if character == "\\":
            position += 2
            continue
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return position
        position += 1
    return None


def last_boxed(text: str) -> str | None:
    """The content of the last balanced `\\boxed{}`, or None. An empty box is no answer.

    >>> last_boxed(r"so \\boxed{1} or \\boxed{\\frac{1}{2}}.")
    '\\\\frac{1}{2}'
    """
    for start, end in reversed(boxed_spans(text)):
        if content := text[start:end].strip():
            return content
    return None


def after_hash(text: str) -> str | None:
    """The line after the last `####`, or None.

    >>> after_hash("so\\n#### 42.")
    '42'
    """
    for content in reversed(_HASH.findall(text)):
        if content := content.strip().rstrip("."):
            return content
    return None
