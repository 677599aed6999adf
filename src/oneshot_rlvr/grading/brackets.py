"""Where a text splits: at separators that stand in no bracket."""

from __future__ import annotations

import re
from functools import lru_cache

_OPEN, _CLOSE = "([{", ")]}"


@lru_cache(maxsize=64)
def _compiled(separators: str) -> re.Pattern[str]:
    return re.compile(separators)


def split(text: str, separators: str) -> list[str]:
    """The parts of a text between separators that stand in no bracket. `separators` is a regular expression."""
    pattern, parts, start, depth, position = _compiled(separators), [], 0, 0, 0
    while position < len(text):
        character = text[position]
        if depth == 0 and (match := pattern.match(text, position)):
            parts.append(text[start:position])
            start = position = max(match.end(), position + 1)
            continue
        if character == "\\" and position + 1 < len(text):
            if text[position + 1] in "{}":
                depth += 1 if text[position + 1] == "{" else -1
            elif text.startswith((r"\begin", r"\langle"), position):
                depth += 1
            elif text.startswith((r"\end", r"\rangle"), position):
                depth -= 1
            position += 2
            continue
        depth += (character in _OPEN) - (character in _CLOSE)
        depth = max(depth, 0)
        position += 1
    return [*parts, text[start:]]


def one_pair(inner: str) -> bool:
    """Whether the brackets that were around `inner` belong together."""
    depth, position = 0, 0
    while position < len(inner):
        character = inner[position]
        if character == "\\" and inner[position + 1 : position + 2] in ("{", "}"):
            depth += 1 if inner[position + 1] == "{" else -1
            position += 1
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
        if depth < 0:
            return False
        position += 1
    return depth == 0


def without_outer_braces(text: str) -> str:
    """Without plain braces around the whole."""
    while len(text) > 1 and text[0] == "{" and text[-1] == "}" and len(split(text[1:], r"\}(?=.)")) == 1:
        text = text[1:-1].strip()
    return text
