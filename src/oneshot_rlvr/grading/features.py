"""What can be seen in a response's text without grading it: boxes, reflection words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache

import numpy as np

from oneshot_rlvr.grading.normalise import canonical
from oneshot_rlvr.problems.answers import LONGEST_LOOK, last_boxed

REFLECTION_WORDS = ("rethink", "recheck", "recalculate")  # the paper's


@lru_cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    stems = [
        re.escape(word.removesuffix("e")).replace("re", "re-?", 1) if word.startswith("re") else re.escape(word)
        for word in words
    ]
    return re.compile("|".join(stems), re.IGNORECASE)


def reflection_pattern(words: Sequence[str] = REFLECTION_WORDS) -> re.Pattern[str]:
    """Finds any of the words in any case: their other forms too (rechecking, recalculated), and re-check."""
    return _pattern(tuple(words))


def reflects(text: str) -> bool:
    """Whether a response says that it rethinks, rechecks or recalculates."""
    return reflection_pattern().search(text) is not None


def boxes(text: str) -> bool:
    """Whether a response has a balanced box that is not empty."""
    return last_boxed(text) is not None


_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def ends_in_its_answer(text: str, answer: str | None) -> bool:
    """Whether the last number before a response's answer is that answer; False without an answer or a number.

    >>> ends_in_its_answer(r"3 + 4 = 7. So \\boxed{7}.", "7"), ends_in_its_answer(r"3 + 4 = 8. So \\boxed{7}.", "7")
    (True, False)
    """
    if answer is None:
        return False
    found = _NUMBER.findall(text[: text.rfind(answer)][-LONGEST_LOOK:])
    return bool(found) and found[-1].strip(",").replace(",", "") == answer.strip().replace(",", "")


def answer_counts(answers: Iterable[str | None]) -> Counter[str | None]:
    """How often each was given: answers are one where their normal forms are, and no answer is one like another."""
    return Counter(None if answer is None else canonical(answer) for answer in answers)


def entropy_of(counts: Counter[str | None]) -> float:
    """Entropy of what was counted, in nats."""
    shares = np.array(list(counts.values())) / counts.total()
    return float(-(shares * np.log(shares)).sum())


def mean(values: Sequence[float | bool]) -> float:
    """The mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def common_length(wanted: Sequence[Hashable], found: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(wanted) + 1)
    for value in found:
        before = 0
        for place, want in enumerate(wanted, 1):
            before, row[place] = row[place], before + 1 if value == want else max(row[place], row[place - 1])
    return row[-1]
