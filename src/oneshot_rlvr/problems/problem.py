"""The problem: one question with a gold answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One question with its gold answer as text; `id` is unique in its set."""

    id: str
    question: str
    answer: str
    source: str
    category: str | None = None
    level: str | None = None
    solution: str | None = None
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


def to_jsonl(problems: Iterable[Problem]) -> str:
    """Problems as jsonl that `load_problems` reads back unchanged."""
    lines = []
    for problem in problems:
        row = {key: value for key, value in vars(problem).items() if value not in (None, {})}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)
