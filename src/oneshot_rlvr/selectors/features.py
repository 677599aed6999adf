"""What a probe sees of a path: numbers from its text, from a model's reading of it, and from its place in its group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from oneshot_rlvr.grading.features import boxes, ends_in_its_answer
from oneshot_rlvr.selectors.paths import OF_READING, PathGroup, ReasoningPath
from oneshot_rlvr.selectors.votes import voted

OF_TEXT = ("log tokens", "finished", "has an answer", "boxed", "ends in its answer", "lines", "numbers", "equals signs")
OF_GROUP = ("share of the votes", "length among the group", "log-probability among the group")


def names_of(groups: Sequence[PathGroup], agreement: bool) -> tuple[str, ...]:
    """The features that these paths have."""
    read = all(path.measured for group in groups for path in group.paths)
    among = OF_GROUP if read else OF_GROUP[:2]
    return (*OF_TEXT, *(OF_READING if read else ()), *(among if agreement else ()))


def features(paths: Sequence[ReasoningPath], names: Sequence[str], group: PathGroup) -> NDArray[np.float64]:
    """The named features of each path, [N, F]."""
    columns = [dict(_of_text(path.text, path.finish, path.length, path.extracted)) for path in paths]
    for column, path in zip(columns, paths, strict=True):
        column.update(path.reading if path.measured else {})
    if any(name in OF_GROUP for name in names):
        for column, more in zip(columns, _of_group(group), strict=True):
            column.update(more)
    return np.array([[column[name] for name in names] for column in columns], dtype=float).reshape(-1, len(names))


@lru_cache(maxsize=1 << 17)
def _of_text(text: str, finish: str, tokens: int, extracted: str | None) -> dict[str, float]:
    return {
        "log tokens": math.log1p(tokens),
        "finished": float(finish == "stop"),
        "has an answer": float(bool(extracted)),
        "boxed": float(boxes(text)),
        "ends in its answer": float(ends_in_its_answer(text, extracted)),
        "lines": math.log1p(text.count("\n")),
        "numbers": math.log1p(sum(word[:1].isdigit() for word in text.split())),
        "equals signs": math.log1p(text.count("=")),
    }


def _of_group(group: PathGroup) -> list[dict[str, float]]:
    votes = voted(group, [1.0] * len(group.paths))
    lengths = _standard([math.log1p(path.length) for path in group.paths])
    logprobs = _standard([path.reading["mean log-probability"] for path in group.paths])
    return [dict(zip(OF_GROUP, values, strict=True)) for values in zip(votes, lengths, logprobs, strict=True)]


def _standard(values: Sequence[float]) -> list[float]:
    spread = float(np.std(values))
    middle = float(np.mean(values))
    return [(value - middle) / spread if spread > 1e-9 else 0.0 for value in values]
