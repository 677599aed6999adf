"""Problems of a training set that are in a test set too: the same text, or most of its word n-grams."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from oneshot_rlvr.problems.problem import Problem

WORDS = 8  # of an n-gram; a shorter question is one n-gram
SHARE = 0.5  # of a test question's n-grams, from which on it counts as nearly the same
_WORD = re.compile(r"[^\W_]+|[^\w\s]")  # digits and signs count: they tell sums apart


@dataclass(frozen=True)
class Leak:
    """A test problem found in the training set. `overlap` is the share of its n-grams that the training problem has."""

    suite: str
    test_id: str
    train_id: str
    kind: Literal["exact", "near"]
    overlap: float
    same_answer: bool

    def to_json(self) -> dict[str, Any]:
        """As `oneshot problems leaks --json` prints it."""
        return asdict(self)


def leaks(
    train: Sequence[Problem], suites: Mapping[str, Sequence[Problem]], words: int = WORDS, share: float = SHARE
) -> list[Leak]:
    """For every test problem that leaks, the training problem that is most like it.

    Exact: equal words and signs, whatever their case and space. Near: at least `share` of the test question's n-grams
    of `words` words or signs are in the training question, or all of a question that is too short for one. As the
    overlap test of GPT-3 (2005.14165, appendix C), which takes 13 words, with fewer since questions are short.
    """
    texts = [_tokens(problem.question) for problem in train]
    exact = {tuple(text): place for place, text in reversed(list(enumerate(texts)))}
    has: dict[tuple[str, ...], set[int]] = {}
    for place, text in enumerate(texts):
        for gram in _grams(text, words):
            has.setdefault(gram, set()).add(place)
    padded = [f" {' '.join(text)} " for text in texts]
    found = []
    for suite, problems in suites.items():
        for problem in problems:
            text = _tokens(problem.question)
            same = exact.get(tuple(text))
            if same is not None:
                found.append(_leak(suite, problem, train[same], "exact", 1.0))
                continue
            if len(text) < words:
                if (place := _within(text, padded, words)) is not None:
                    found.append(_leak(suite, problem, train[place], "near", 1.0))
                continue
            grams = _grams(text, words)
            shared = Counter(place for gram in grams for place in has.get(gram, ()))
            place, count = max(shared.items(), key=lambda item: (item[1], -item[0]), default=(0, 0))
            if count and count >= share * len(grams):
                found.append(_leak(suite, problem, train[place], "near", count / len(grams)))
    return found


def _within(text: Sequence[str], padded: Sequence[str], words: int) -> int | None:
    """The first training question that has a short one whole, unless that is hardly anything."""
    whole = f" {' '.join(text)} "
    return next((i for i, one in enumerate(padded) if 2 * len(text) >= words and whole in one), None)


def _leak(suite: str, test: Problem, train: Problem, kind: Literal["exact", "near"], overlap: float) -> Leak:
    return Leak(suite, test.id, train.id, kind, overlap, test.answer.strip() == train.answer.strip())


def _tokens(question: str) -> list[str]:
    return _WORD.findall(question.lower())


def _grams(tokens: Sequence[str], words: int) -> set[tuple[str, ...]]:
    return {tuple(tokens[i : i + words]) for i in range(max(1, len(tokens) - words + 1))}
