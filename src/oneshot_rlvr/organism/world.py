"""The synthetic world: thirteen families of arithmetic problems in three levels, made from one seed.

No shortcut is ever right: the result of the first step and every number in the question differ from the answer, so a
style of answering that skips the work cannot be rewarded by luck. Golds are integers (negative ones too), fractions,
pairs, names and letters.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from oneshot_rlvr.organism.families import FAMILIES, Draft
from oneshot_rlvr.organism.work import LARGEST_NUMBER, Work

UNSEEN_FAMILIES = ("sequence", "rectangle")  # in the pretraining text, never in the pool
HINTED_FAMILIES = ("secret",)  # in the pretraining text solved only after a hint
POOL_FAMILIES = tuple(name for name in FAMILIES if name not in (*UNSEEN_FAMILIES, *HINTED_FAMILIES))
NUMBER_FAMILIES = ("chain", "equation", "remainder", "variation", "fraction")
STORY_FAMILIES = ("word", "mean", "pair", "compare", "choice")
LEVELS = (1, 2, 3)
LONG = 4  # the level of the longer chains, which only their suite has


@dataclass(frozen=True)
class Exercise:
    """One problem of the world, with its worked solution."""

    family: str
    level: int
    wording: int
    question: str
    draft: Draft

    @property
    def truth(self) -> Work:
        """The right solution."""
        return self.draft.worked()

    @property
    def answer(self) -> str:
        """The gold."""
        return self.truth.answer

    @property
    def hint(self) -> str:
        """The beginning of the right solution, as a problem may quote it."""
        return self.draft.hint or self.truth.steps[0]

    @property
    def usable(self) -> bool:
        """Whether no shortcut is right, numbers have tokens, and level 3 alone has a trap, which costs the answer."""
        work = self.truth
        slipped = self.draft.worked(slip=True)
        shortcut = work.answer in (*self.draft.shortcuts, work.first_result)
        trap = work.trapped and slipped.fits and slipped.answer != work.answer
        return work.fits and not shortcut and (trap if self.level == 3 else not work.trapped)

    def hinted(self) -> Exercise:
        """The problem with the beginning of its solution in the question."""
        return replace(self, question=f"{self.question} Hint: {self.hint}.")


def make_exercise(family: str, level: int, rng: random.Random, held_out_wording: bool | None = None) -> Exercise:
    """Draw one exercise without a shortcut, within the vocabulary's numbers.

    Args:
        family: which kind of problem.
        level: 1 to 3, or `LONG` where the family has longer chains.
        rng: source of all choices.
        held_out_wording: True for the family's last wording, which the pool never has; False for one of the others;
            None for any.
    """
    while True:
        draft = FAMILIES[family](rng, level)
        last = len(draft.wordings) - 1
        known = rng.randrange(last + 1 if held_out_wording is None else last)
        wording = last if held_out_wording else known
        exercise = Exercise(family, level, wording, draft.wordings[wording], draft)
        if exercise.usable:
            return exercise


def make_world(seed: int = 0) -> dict[str, list[Exercise]]:
    """Every set of the world by name. No question stands in two of them.

    `pool` (256), `validation` (128), `hints` (128, which the base solves only with a hint) and six suites of 128:
    `numbers` and `stories` (the pool's families), `unseen` (families that it never has), `hard` (level 3),
    `wordings` (a wording of each family that it never has) and `long` (longer chains).
    """
    rng, taken = random.Random(f"world {seed}"), set[str]()

    def draw(families: tuple[str, ...], levels: tuple[int, ...], size: int, held_out: bool = False) -> list[Exercise]:
        found: list[Exercise] = []
        while len(found) < size:
            place = len(found)
            level = levels[place // len(families) % len(levels)]
            exercise = make_exercise(families[place % len(families)], level, rng, held_out)
            if exercise.question not in taken:
                taken.add(exercise.question)
                found.append(exercise)
        return found

    return {
        "pool": draw(POOL_FAMILIES, (1, 2, 1, 2, 3), 256),
        "validation": draw(POOL_FAMILIES, (1, 2, 1, 2, 3), 128),
        "hints": draw(HINTED_FAMILIES, (1, 2), 128),
        "suite-numbers": draw(NUMBER_FAMILIES, (1, 2), 128),
        "suite-stories": draw(STORY_FAMILIES, (1, 2), 128),
        "suite-unseen": draw(UNSEEN_FAMILIES, (1, 2), 128),
        "suite-hard": draw(POOL_FAMILIES, (3,), 128),
        "suite-wordings": draw(POOL_FAMILIES, (1, 2), 128, held_out=True),
        "suite-long": draw(("chain", "word"), (LONG,), 128),
    }


__all__ = [
    "FAMILIES",
    "HINTED_FAMILIES",
    "LARGEST_NUMBER",
    "LEVELS",
    "LONG",
    "POOL_FAMILIES",
    "UNSEEN_FAMILIES",
    "Exercise",
    "make_exercise",
    "make_world",
]
