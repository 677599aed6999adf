"""A contamination probe: does a model complete a test problem from its first part, as if it had read it before?

Source: Reasoning or memorization? (arXiv 2507.10532): Qwen2.5 completes over half of MATH500's questions from 60 % of
their text, and none of a set that is newer than it. Decoding is greedy and without a template.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from oneshot_rlvr.evaluation.statistics import Interval, mean_interval
from oneshot_rlvr.grading.features import common_length, mean
from oneshot_rlvr.problems import Problem

SHARE = 0.6  # of a question's words, shown
Complete = Callable[[Sequence[str]], Sequence[str]]  # texts, and what a model writes behind each


@dataclass(frozen=True)
class Recall:
    """A problem's hidden part and what the model wrote in its place; `exact` and `rouge` compare as many words of it.

    `rouge` is ROUGE-L's F-measure over words (Lin, 2004).
    """

    id: str
    shown: str
    hidden: str
    written: str
    exact: bool
    rouge: float

    def to_json(self) -> dict[str, Any]:
        """As `oneshot problems recall --json` prints it."""
        return asdict(self)


def cut(question: str, share: float = SHARE) -> tuple[str, str]:
    """A question's first words and the others; at least one word is shown, and one hidden where there are two."""
    words = question.split()
    shown = min(max(1, int(share * len(words))), max(1, len(words) - 1))
    return " ".join(words[:shown]), " ".join(words[shown:])


def recalled(problems: Sequence[Problem], complete: Complete, share: float = SHARE) -> list[Recall]:
    """What a model makes of each problem; those of one word are left out."""
    parts = [(problem.id, *cut(problem.question, share)) for problem in problems if len(problem.question.split()) > 1]
    written = complete([shown for _, shown, _ in parts]) if parts else []
    return [_judged(*part, text) for part, text in zip(parts, written, strict=True)]


def _judged(identifier: str, shown: str, hidden: str, written: str) -> Recall:
    wanted = hidden.split()
    said = written.split()[: len(wanted)]
    return Recall(identifier, shown, hidden, " ".join(said), said == wanted, rouge_l(wanted, said))


def rouge_l(wanted: Sequence[str], said: Sequence[str]) -> float:
    """ROUGE-L's F-measure of two lists of words: 2 L / (n + m), L the length of their longest common subsequence."""
    return 2 * common_length(wanted, said) / (len(wanted) + len(said)) if wanted or said else 0.0


def share_exact(found: Sequence[Recall]) -> tuple[float, Interval]:
    """The share of problems completed word for word, and its 95 % interval over problems."""
    if not found:
        return 0.0, (0.0, 1.0)
    return mean([one.exact for one in found]), mean_interval([float(one.exact) for one in found])
