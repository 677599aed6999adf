"""Where responses end, and how they read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLACK = 8  # tokens beside a stop string's own: a token is a byte at least, and some begin or end inside a character


class StopStrings:
    """Looks for stop strings at the ends of responses that grow token by token."""

    def __init__(self, tokenizer: Any, strings: Sequence[str]) -> None:
        self.tokenizer, self.strings = tokenizer, strings
        self.window = max((len(string.encode()) for string in strings), default=0) + SLACK
        self._known: dict[tuple[int, ...], bool] = {}

    def end(self, ids_BT: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each response's last token completes a stop string. Ends that are alike are looked at once."""
        return np.array([self._ends(tuple(ids[-self.window :].tolist())) for ids in ids_BT], dtype=bool)

    def _ends(self, ids: tuple[int, ...]) -> bool:
        if ids not in self._known:
            text = self.tokenizer.decode(list(ids), skip_special_tokens=False)
            self._known[ids] = any(string in text for string in self.strings)
        return self._known[ids]


class Reader:
    """Token ids to text, special tokens left out but for `markers` inside a response, which show where a turn ended.

    Identical responses, which a one-example run has many of, are decoded once.
    """

    def __init__(self, tokenizer: Any, markers: Sequence[int]) -> None:
        self.tokenizer, self.markers = tokenizer, set(markers)
        self._known: dict[tuple[int, ...], str] = {}

    def __call__(self, ids: tuple[int, ...]) -> str:
        if ids not in self._known:
            self._known[ids] = "".join(self._parts(ids))
        return self._known[ids]

    def _parts(self, ids: tuple[int, ...]) -> Iterator[str]:
        start = 0
        for place in [i for i, token in enumerate(ids[:-1]) if token in self.markers]:
            yield self.tokenizer.decode(list(ids[start:place]), skip_special_tokens=True)
            yield self.tokenizer.decode([ids[place]], skip_special_tokens=False)
            start = place + 1
        yield self.tokenizer.decode(list(ids[start:]), skip_special_tokens=True)
