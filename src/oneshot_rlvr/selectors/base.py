"""What a path selector is, and the registry where selectors are found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from oneshot_rlvr.config import ModelSection, Registry
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.selectors.paths import PathGroup, ReasoningPath

SELECTORS = Registry("path selector", "selector")
Need = Literal["model", "states", "given"]  # what paths must come with: a model's reading, its states, a score


class Selector(Protocol):
    """Judges candidate answers.

    `pathwise`: a path's score does not depend on the others that it stands among. `reads`: a model reads every path.
    """

    @property
    def pathwise(self) -> bool: ...

    @property
    def reads(self) -> bool: ...

    def scores(self, problem: Problem, paths: Sequence[ReasoningPath]) -> list[float]:
        """A finite score of each path, the likeliest right one's the highest."""
        ...


@dataclass(frozen=True)
class Learner:
    """Trains a verifier: `train(name, problems, settings)` gives the model that a run ends with.

    `problems` are verdicts to give, `settings` the configuration's values; `template` and learning `rate` are those of
    the model that it begins with; `fits` says whether a verdict's question is short enough for it.
    """

    train: Callable[[str, Sequence[Problem], Mapping[str, Any]], ModelSection]
    template: str
    rate: float
    fits: Callable[[str], bool] = lambda question: True


@dataclass(frozen=True)
class Training:
    """What a selector may be fitted on: groups of graded paths, a seed, and a learner for those that train a model."""

    groups: Sequence[PathGroup] = ()
    seed: int = 0
    learner: Learner | None = None

    def chosen(self, shots: int | None) -> list[PathGroup]:
        """The problems to learn from: those with right and wrong paths; `shots` of them, drawn by the seed.

        One that is to stand alone, or among few, is drawn from those solved between a quarter and three quarters of
        the time, where there are enough: of the others, too few paths are of one kind.

        Raises:
            OneshotError: there are too few.
        """
        if shots is not None and shots < 1:
            raise OneshotError(f"shots={shots} is no number of problems", where="selector", fix="Give 1 or more.")
        mixed = [group for group in self.groups if group.mixed]
        if shots is None and mixed:
            return mixed
        wanted = shots or 1
        even = [group for group in mixed if 0.25 <= group.rate <= 0.75]
        found = even if len(even) >= wanted else mixed
        if len(found) < wanted:
            raise OneshotError(
                f"{len(mixed)} of {len(self.groups)} problems have right and wrong paths, {wanted} are needed",
                where="selector",
                fix="Collect more paths, of problems that the model sometimes solves.",
            )
        places = np.random.default_rng(self.seed).permutation(len(found))[:wanted]
        return [found[place] for place in sorted(places.tolist())]


def refuse_without(need: Need, paths: Sequence[ReasoningPath], name: str) -> None:
    """Raises:
    OneshotError: some paths lack what a selector reads.
    """
    lacking: dict[Need, tuple[Callable[[ReasoningPath], bool], str, str]] = {
        "model": (lambda p: not p.measured, "no model has read", "Give --model, or collect with `oneshot paths`."),
        "states": (lambda p: p.state is None, "there are no hidden states of", "Collect the paths with --hidden."),
        "given": (lambda p: p.given is None, "no score came with", "Use another selector."),
    }
    lacks, says, fix = lacking[need]
    if count := sum(map(lacks, paths)):
        raise OneshotError(f"{says} {count} of {len(paths)} paths", where=f"selector {name}", fix=fix)


def fit(text: str, training: Training) -> Selector:
    """The selector that a text names, fitted where it learns.

    Raises:
        OneshotError: an unknown name or option, or too little to learn from.
    """
    return SELECTORS.unit(text)(training)
