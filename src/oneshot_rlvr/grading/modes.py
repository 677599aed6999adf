"""Scoring modes by name: how an answer is found in a response, and when it equals the gold.

`default` is this project's own (docs/grading.md). The others repeat the rules that published numbers were made with,
faults included, so that they can be compared; they are written anew from the rules, and run no model output.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.grading.compare import Symbols, Verdict, decide
from oneshot_rlvr.grading.extract import Extracted, boxed_or_hash, nothing
from oneshot_rlvr.grading.rules import qwen_eval, released

Decide = Callable[[str, str, Symbols | None], Verdict | None]


@dataclass(frozen=True)
class Mode:
    """`find` looks an answer up in a response; `decide` compares it with the gold: None where it needs symbols.

    Problems of the sets in `by_source` (a problem's `source`) are compared by another rule.
    """

    name: str
    says: str
    find: Callable[[str], Extracted]
    decide: Decide
    by_source: Mapping[str, Decide] = field(default_factory=dict)

    def rule(self, source: str) -> Decide:
        """The comparison for problems of a source."""
        return self.by_source.get(source, self.decide)


def _released_find(text: str) -> Extracted:
    found = released.find(text)
    return nothing() if found is None else Extracted(found, "box")


def _qwen_find(text: str) -> Extracted:
    found = qwen_eval.find(text)
    return nothing() if found is None else Extracted(found, "box" if "boxed" in text else "sentence")


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
        Mode(
            "qwen-eval",
            "the Qwen2.5-Math evaluation grader",
            _qwen_find,
            qwen_eval.decide,
            {"minerva_math": qwen_eval.decide_with_units},
        ),
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
