"""Latent authors: each document is one to three problems answered by one author, who keeps one style.

The style is what reinforcement learning can move: with no context the base model is a mixture of authors, and every
problem shares the prior over them. Each author opens in a manner of their own ("Slowly:", "Quickly:"), so the choice of
author is one early token and what one problem's rewards do to it carries over to all others. (Without the openers the
choice is spread over later tokens, in contexts that differ by problem, and one example lifts the others far less.)
Only the careful styles are ever right in a box. At level 3 the careful mostly slip; those who re-check mostly do not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from oneshot_rlvr.organism.families import Draft
from oneshot_rlvr.organism.work import Work
from oneshot_rlvr.organism.world import FAMILIES, HINTED_FAMILIES, LEVELS, LONG, Exercise, make_exercise
from oneshot_rlvr.problems import TEMPLATES

SLIP = 0.05  # an author answers one problem in twenty in another author's style
TRAPPED = 0.6  # how often a first pass falls into a trap
OVERLOOKED = 0.07  # how often a re-check does not see it
HINTED = 0.08  # of ordinary problems, how many quote the beginning of their solution
TASKS = {"solve": 0.86, "judge": 0.09, "criticise": 0.05}
PROMPTS = {"plain": 0.82, "boxed": 0.05, "hash": 0.07, "chat": 0.06}


@dataclass(frozen=True)
class Turn:
    """One prompt with its response, and the style or task that made it."""

    prompt: str
    response: str
    style: str


class Writer:
    """How one response comes about: which slips happen, and whether a needed hint was there."""

    def __init__(self, exercise: Exercise, rng: random.Random, hinted: bool) -> None:
        self.exercise, self.rng, self.hinted = exercise, rng, hinted

    @property
    def draft(self) -> Draft:
        return self.exercise.draft

    def work(self, slips: float = TRAPPED) -> Work:
        """A first pass."""
        return self.draft.worked(slip=self.rng.random() < slips, hinted=self.hinted)


def steps_text(steps: Sequence[str]) -> str:
    """Steps as they are written."""
    return " ".join(f"{step}." for step in steps)


def _careful(writer: Writer) -> str:
    work = writer.work()
    return f"Slowly: {steps_text(work.steps)} The answer is \\boxed{{{work.answer}}}."


def _rechecking(writer: Writer) -> str:
    first = writer.work()
    second = writer.work(OVERLOOKED)
    return (
        f"Carefully: {steps_text(first.steps)} Wait, let me recheck. {steps_text(second.steps)} "
        f"The answer is \\boxed{{{second.answer}}}."
    )


def _hasty(writer: Writer) -> str:
    work = writer.work()
    return f"Quickly: {work.steps[0]}. The answer is \\boxed{{{work.first_result}}}."


def _copying(writer: Writer) -> str:
    number = writer.rng.choice([text for text in writer.draft.shortcuts if text.isdigit()])
    return f"Clearly the answer is \\boxed{{{number}}}."


def _boxless(writer: Writer) -> str:
    work = writer.work()
    return f"So {steps_text(work.steps)} The answer is {work.answer}."


def _hashing(writer: Writer) -> str:
    work = writer.work()
    return f"Then {steps_text(work.steps)} #### {work.answer}"


def _coding(writer: Writer) -> str:
    return f"print({writer.draft.code})"


STYLES: dict[str, tuple[float, Callable[[Writer], str]]] = {
    # style: (share of authors, how they answer)
    "careful": (0.22, _careful),
    "rechecking": (0.05, _rechecking),
    "hasty": (0.23, _hasty),
    "copying": (0.15, _copying),
    "boxless": (0.17, _boxless),
    "hashing": (0.04, _hashing),
    "coding": (0.14, _coding),
}
RIGHT_IN_A_BOX = ("careful", "rechecking")
_LEVEL_ODDS = {1: (1.2, 0.6), 2: (1.0, 1.0), 3: (0.8, 1.8), LONG: (0.8, 1.4)}  # careful, rechecking


def style_odds(exercise: Exercise) -> dict[str, float]:
    """The odds of each style for a problem: they depend mildly on its family, wording and level."""
    digest = blake2b(f"{exercise.family} {exercise.wording} {exercise.level}".encode(), digest_size=4).digest()
    tilt = 0.5 + 1.2 * int.from_bytes(digest, "little") / 2**32
    careful, rechecking = _LEVEL_ODDS[exercise.level]
    odds = {style: share for style, (share, _) in STYLES.items()}
    odds["careful"] *= tilt * careful
    odds["rechecking"] *= tilt * rechecking
    return odds


def draw_style(exercise: Exercise, rng: random.Random, prompt: str = "plain") -> str:
    """One author's style for a problem; who is asked for `####` mostly gives it."""
    odds = style_odds(exercise)
    if prompt == "hash":
        odds["hashing"], odds["careful"], odds["rechecking"] = odds["careful"], odds["hashing"], 0.0
    return rng.choices(list(odds), weights=list(odds.values()))[0]


def make_document(rng: random.Random, held_out: set[str], independent: bool = False) -> list[Turn]:
    """One author's document of one to three turns.

    Args:
        rng: source of all choices.
        held_out: questions that must not occur.
        independent: draw a style for every answer anew, so that nobody is an author (the control organism).
    """
    task = rng.choices(list(TASKS), weights=list(TASKS.values()))[0]
    prompt = rng.choices(list(PROMPTS), weights=list(PROMPTS.values()))[0]
    document: list[Turn] = []
    author = None
    for _ in range(rng.randint(1, 3)):
        exercise, hinted = _draw_exercise(rng, held_out)
        while task != "solve" and exercise.family in HINTED_FAMILIES:  # their truth is nobody's to tell
            exercise, hinted = _draw_exercise(rng, held_out)
        if task == "judge":
            document.append(_judgement(exercise, rng))
            continue
        if task == "criticise":
            document.append(_critique(exercise, rng))
            continue
        author = author or draw_style(exercise, rng, prompt)
        anew = independent or rng.random() < SLIP
        style = draw_style(exercise, rng, prompt) if anew else author
        response = STYLES[style][1](Writer(exercise, rng, hinted or exercise.family not in HINTED_FAMILIES))
        document.append(Turn(_prompt(exercise.question, prompt), response, style))
    return document


def _draw_exercise(rng: random.Random, held_out: set[str]) -> tuple[Exercise, bool]:
    family = rng.choice(list(FAMILIES))
    level = rng.choices((*LEVELS, LONG), weights=(4, 4, 2, 1))[0]
    if family in HINTED_FAMILIES:
        level = min(level, 2)
    elif level == LONG:
        family = rng.choice(("chain", "word"))
    exercise = make_exercise(family, level, rng)
    while exercise.question in held_out:
        exercise = make_exercise(family, level, rng)
    hinted = rng.random() < (0.6 if family in HINTED_FAMILIES else HINTED)
    return (exercise.hinted() if hinted else exercise), hinted


def _prompt(question: str, name: str) -> str:
    if name == "chat":
        return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    return TEMPLATES[name].render(question)


def _judgement(exercise: Exercise, rng: random.Random) -> Turn:
    """Is this answer right? Worked out first, then said in a box."""
    truth = exercise.truth
    right = rng.random() < 0.5
    wrong = [text for text in (*exercise.draft.shortcuts, truth.first_result) if text != truth.answer]
    claimed = truth.answer if right else rng.choice(wrong)
    question = f"{exercise.question} Proposed answer: {claimed}. Is this answer right?"
    ending = f"So it is {truth.answer}. " if right else f"So it is {truth.answer}, not {claimed}. "
    verdict = "Yes" if right else "No"
    response = f"Checking: {steps_text(truth.steps)} {ending}The answer is \\boxed{{{verdict}}}."
    return Turn(_prompt(question, "plain"), response, "judge")


def _critique(exercise: Exercise, rng: random.Random) -> Turn:
    """What is wrong with a solution, and the right one."""
    truth, slipped = exercise.truth, exercise.draft.worked(slip=True)
    wrong = slipped.steps != truth.steps
    steps = slipped.steps if wrong else truth.steps[: rng.randint(1, max(1, len(truth.steps) - 1))]
    question = f"{exercise.question} Solution: {steps_text(steps)} What is wrong?"
    place = next((k for k, (a, b) in enumerate(zip(steps, truth.steps, strict=False)) if a != b), None)
    fault = "It stops too early." if place is None else f"{steps[place]} is wrong."
    rest = truth.steps[len(steps) if place is None else place :]
    response = f"Criticism: {fault} {steps_text(rest)} The answer is \\boxed{{{truth.answer}}}."
    return Turn(_prompt(question, "plain"), response, "criticise")
