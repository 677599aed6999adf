"""From a response to the answer in it, and how it was found. Only the response is looked at, never the prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from oneshot_rlvr.problems import Template
from oneshot_rlvr.problems.answers import LONGEST_LOOK, after_hash, last_boxed

Source = Literal["answer", "box", "hash", "sentence", "last number"]

_SENTENCE = re.compile(r"answer\s*(?:is|:|=)\s*:?\s*", re.I)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?|-?\.\d+")


@dataclass(frozen=True)
class Extracted:
    """An answer's text and where it stood; None for neither."""

    answer: str | None
    source: Source | None


def nothing() -> Extracted:
    return Extracted(None, None)


def extract(text: str, template: Template, fallback: bool = False) -> Extracted:
    """The answer where the template asks for it: after `</think>`, in the last box or after `####`.

    `fallback` also takes what follows "the answer is", and then the last number: for evaluation, never for rewards.
    """
    if template.think and (text := after_think(text)) == "":
        return nothing()
    found = last_boxed(text) if template.answer == "box" else after_hash(text)
    if found is not None:
        return Extracted(found, "box" if template.answer == "box" else "hash")
    return _fallback(text) if fallback else nothing()


def after_think(text: str) -> str:
    """What follows the last `</think>`; "" without one."""
    return text.rpartition("</think>")[2] if "</think>" in text else ""


def boxed_or_hash(text: str) -> Extracted:
    """The last box, else the last `####`, after a `</think>` if there is one: for responses of unknown templates."""
    text = after_think(text) or text
    if (found := last_boxed(text)) is not None:
        return Extracted(found, "box")
    found = after_hash(text)
    return Extracted(found, None if found is None else "hash")


def with_fallback(found: Extracted, text: str) -> Extracted:
    """What was found, else the sentence or the last number."""
    return found if found.answer is not None else _fallback(after_think(text) or text)


def _fallback(text: str) -> Extracted:
    text = text[-LONGEST_LOOK:]
    found = sentence(text)
    return found if found.answer is not None else last_number(text)


def sentence(text: str) -> Extracted:
    """What follows the last "answer is", to the end of the sentence."""
    *_, tail = _SENTENCE.split(text)
    if tail is text or tail == text:
        return nothing()
    line = tail.split("\n", 1)[0]
    answer = re.split(r"\.(?:\s|$)", line, maxsplit=1)[0].strip(" *:$")
    return Extracted(answer, "sentence") if answer else nothing()


def last_number(text: str) -> Extracted:
    """The last number of a text."""
    found = _NUMBER.findall(text)
    return Extracted(found[-1].rstrip(","), "last number") if found else nothing()
