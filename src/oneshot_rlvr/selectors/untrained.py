"""Selectors that learn nothing: chance, length, what the reading model made of it, a score that came with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from oneshot_rlvr.grading.features import mean
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.selectors.base import SELECTORS, Need, Training, refuse_without
from oneshot_rlvr.selectors.paths import ReasoningPath


@dataclass(frozen=True)
class Measured:
    """Scores paths one by one."""

    name: str
    score: Callable[[Problem, ReasoningPath], float]
    need: Need | None = None
    pathwise: bool = True

    @property
    def reads(self) -> bool:
        """See `Selector`."""
        return self.need in ("model", "states")

    def scores(self, problem: Problem, paths: Sequence[ReasoningPath]) -> list[float]:
        """See `Selector`.

        Raises:
            OneshotError: the paths lack what it reads.
        """
        if self.need is not None:
            refuse_without(self.need, paths, self.name)
        return [self.score(problem, path) for path in paths]


@SELECTORS.register("random")
def random(training: Training) -> Measured:
    """A number from the seed, the problem and the text: best-of-n by it is avg@1."""

    def score(problem: Problem, path: ReasoningPath) -> float:
        key = f"{training.seed}\x1f{problem.id}\x1f{path.text}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(key, digest_size=7).digest(), "little") / 2**56

    return Measured("random", score)


@SELECTORS.register("longest")
def longest(training: Training) -> Measured:
    """The number of tokens."""
    return Measured("longest", lambda problem, path: float(path.length))


@SELECTORS.register("shortest")
def shortest(training: Training) -> Measured:
    """Minus the number of tokens."""
    return Measured("shortest", lambda problem, path: -float(path.length))


@SELECTORS.register("logprob")
def logprob(training: Training, *, total: bool = False) -> Measured:
    """The mean log-probability of a token under the reading model; `total`: their sum."""

    def score(problem: Problem, path: ReasoningPath) -> float:
        return sum(path.logprobs) if total else mean(path.logprobs)

    return Measured("logprob", score, "model")


@SELECTORS.register("certainty")
def certainty(training: Training) -> Measured:
    """Self-certainty: the mean over tokens of KL(uniform || next token) (arXiv 2502.18581, equation 7)."""
    return Measured("certainty", lambda problem, path: path.certainty or 0.0, "model")


@SELECTORS.register("given")
def given(training: Training) -> Measured:
    """The score that the path came with, such as a reward model's."""
    return Measured("given", lambda problem, path: path.given or 0.0, "given")


@SELECTORS.register("oracle")
def oracle(training: Training) -> Measured:
    """1 for a right answer, else 0: what no selector can beat. Best-of-n by it is pass@n."""
    return Measured("oracle", lambda problem, path: float(path.right))
