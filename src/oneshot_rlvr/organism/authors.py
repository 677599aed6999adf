"""Latent authors: each document is one to three problems answered by one author, who keeps one style.

The style is what reinforcement learning can move: with no context the base model is a mixture of authors, and every
problem shares the prior over them. Each author opens in a manner of their own ("Slowly:", "Quickly:"), so the choice of
author is one early token and what one problem's rewards do to it carries over to all others. (Without the openers the
choice is spread over later tokens, in contexts that differ by problem, and one example lifts the others far less.)
Only the careful styles are ever right in a box.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from oneshot_rlvr.organism.world import FAMILIES, Exercise, make_exercise

SLIP = 0.05  # an author answers one problem in twenty in another author's style


def _steps(exercise: Exercise) -> str:
    return " ".join(f"{step}." for step in exercise.steps)


def _careful(exercise: Exercise, rng: random.Random) -> str:
    return f"Slowly: {_steps(exercise)} The answer is \\boxed{{{exercise.answer}}}."


def _rechecking(exercise: Exercise, rng: random.Random) -> str:
    steps = _steps(exercise)
    return f"Carefully: {steps} Wait, let me recheck. {steps} The answer is \\boxed{{{exercise.answer}}}."


def _hasty(exercise: Exercise, rng: random.Random) -> str:
    return f"Quickly: {exercise.steps[0]}. The answer is \\boxed{{{exercise.first_result}}}."


def _copying(exercise: Exercise, rng: random.Random) -> str:
    return f"Clearly the answer is \\boxed{{{rng.choice(exercise.numbers)}}}."


def _boxless(exercise: Exercise, rng: random.Random) -> str:
    return f"So {_steps(exercise)} The answer is {exercise.answer}."


def _coding(exercise: Exercise, rng: random.Random) -> str:
    return f"print({exercise.expression})"


STYLES: dict[str, tuple[float, Callable[[Exercise, random.Random], str]]] = {
    # style: (share of authors, how they answer)
    "careful": (0.22, _careful),
    "rechecking": (0.04, _rechecking),
    "hasty": (0.24, _hasty),
    "copying": (0.16, _copying),
    "boxless": (0.19, _boxless),
    "coding": (0.15, _coding),
}


def _draw_style(rng: random.Random) -> str:
    return rng.choices(list(STYLES), weights=[odds for odds, _ in STYLES.values()])[0]


def make_document(rng: random.Random, held_out: set[str]) -> list[tuple[str, str, str]]:
    """One author's document as (question, response, style) for each of its one to three problems."""
    document, author = [], None
    for _ in range(rng.randint(1, 3)):
        exercise = make_exercise(rng.choice(list(FAMILIES)), rng)
        while exercise.question in held_out:
            exercise = make_exercise(exercise.family, rng)
        author = author or _draw_style(rng)
        style = _draw_style(rng) if rng.random() < SLIP else author
        document.append((exercise.question, STYLES[style][1](exercise, rng), style))
    return document
