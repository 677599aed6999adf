"""Where an answer stands in a text: the last balanced `\\boxed{}`, or what follows `####`."""

from __future__ import annotations

import re

LONGEST_BOX = 4_000  # characters; a longer content is nobody's answer
LONGEST_LOOK = 200_000  # characters, from the end of a text, in which an answer is looked for

_TOKEN = re.compile(r"\\{1,2}(?:boxed|fbox)(?:\s*(\{)|\s+([^\s{}$\\]+)|(\d[^\s{}$\\]*))|\\.|[{}]", re.S)
_SLIPPED = re.compile(r"\\boxed\{([^{}\\]{1,100})\\\}")  # \boxed{185\}
_HASH = re.compile(r"####[ \t]*([^\n]*)")


def boxed_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of the content of every balanced, outermost box, in order. Linear in the text.

    `\\boxed{...}`, `\\fbox{...}`, and `\\boxed 12.8`, whose content is what stands up to the next space. A backslash
    before a brace (`\\{`) makes it a printed brace, which does not nest. An unclosed box is none, but a closed one
    inside it counts.
    """
    spans: list[tuple[int, int]] = []
    open_braces: list[int | None] = []  # where a box's content starts, or None for a plain brace
    for token in _TOKEN.finditer(text):
        if token[1]:
            open_braces.append(token.end())
        elif token[2] or token[3]:
            spans.append(token.span(2 if token[2] else 3))
        elif token[0] == "{":
            open_braces.append(None)
        elif token[0] == "}" and open_braces and (start := open_braces.pop()) is not None:
            while spans and spans[-1][0] > start:  # inside this one
                spans.pop()
            spans.append((start, token.start()))
    return spans


def last_boxed(text: str) -> str | None:
    """The content of the last balanced box, or None. An empty box is no answer; an endless one is not tidied.

    >>> last_boxed(r"so \\boxed{1} or \\boxed{\\frac{1}{2}}.")
    '\\\\frac{1}{2}'
    """
    text = text[-LONGEST_LOOK:]
    spans = boxed_spans(text)
    for start, end in reversed(spans):
        if content := text[start:end].strip():
            return content if end - start <= LONGEST_BOX else text[start:end]
    slipped = [] if spans else _SLIPPED.findall(text)
    return slipped[-1].strip() or None if slipped else None


def after_hash(text: str) -> str | None:
    """The line after the last `####`, or None.

    >>> after_hash("so\\n#### 42.")
    '42'
    """
    for content in reversed(_HASH.findall(text[-LONGEST_LOOK:])):
        if content := content.strip().rstrip("."):
            return content
    return None
