"""Which responses have just said a stop string."""

from __future__ import annotations

from collections.abc import Sequence
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
