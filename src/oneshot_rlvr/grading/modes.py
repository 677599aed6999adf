"""Scoring modes by name: how an answer is found in a response, and when it equals the gold.

`default` is this project's own (docs/grading.md). The others repeat the rules that published numbers were made with,
faults included, so that they can be compared; they are written anew from the rules, and run no model output.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.grading.compare import Symbols, Verdict, decide
from oneshot_rlvr.grading.extract import Extracted, boxed_or_hash, last_number, nothing
from oneshot_rlvr.grading.rules import qwen_eval, released
from oneshot_rlvr.problems.answers import boxed_spans


@dataclass(frozen=True)
class Mode:
    """`find` looks an answer up in a response; `decide` compares it with the gold: None where it needs symbols."""

    name: str
    says: str
    find: Callable[[str], Extracted]
    decide: Callable[[str, str, Symbols | None], Verdict | None]


def _released_find(text: str) -> Extracted:
    """The last `\\boxed{...}` alone, after `</think>` if there is one; an unclosed one after it hides it."""
    start = text.rfind(r"\boxed")
    spans = boxed_spans(text)
    if not spans or not text.startswith(r"\boxed{", start) or start > spans[-1][0]:
        return nothing()
    return Extracted(text[slice(*spans[-1])], "box")


def _qwen_find(text: str) -> Extracted:
    """The last box, else what follows "he answer is" or "final answer is", else the last number."""
    if "boxed" in text:
        return Extracted(qwen_eval.after_boxed(text), "box")
    for phrase in ("he answer is", "final answer is"):
        if phrase in text:
            return Extracted(text.rsplit(phrase, 1)[1].strip(), "sentence")
    return last_number(text)


def _gsm8k_find(text: str) -> Extracted:
    """The digits after the last `#### `."""
    found = re.findall(r"#### (-?[0-9.,]+)", text)
    return Extracted(found[-1].replace(",", "").replace("$", ""), "hash") if found else nothing()


def _gsm8k_decide(answer: str, gold: str, symbols: Symbols | None = None) -> Verdict:
    return Verdict(answer == gold, "string")


MODES = {
    mode.name: mode
    for mode in (
        Mode("default", "this project's own rules (docs/grading.md)", boxed_or_hash, decide),
        Mode("released", "the 1-shot RLVR training reward", _released_find, released.decide),
        Mode("qwen-eval", "the Qwen2.5-Math evaluation grader", _qwen_find, qwen_eval.decide),
        Mode("gsm8k-strict", "the string after `#### `, as verl and lm-eval have it", _gsm8k_find, _gsm8k_decide),
    )
}


def get_mode(name: str) -> Mode:
    """A mode by name.

    Raises:
        OneshotError: there is no such mode.
    """
    if name not in MODES:
        raise OneshotError(f"unknown grading mode {name!r}", fix=nearest(name, list(MODES)))
    return MODES[name]
