"""Latent authors: each document is one to three problems answered by one author, who keeps one style.

The style is what reinforcement learning can move: with no context the base model is a mixture of authors, and every
problem shares the prior over them. Only the careful styles are ever right in a box.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from oneshot_rlvr.organism.world import FAMILIES, Exercise, make_exercise

SLIP = 0.05  # an author answers one problem in twenty in another author's style


def _steps(exercise: Exercise) -> str:
    return " ".join(f"{step}." for step in exercise.steps)


def _careful(exercise: Exercise, rng: random.Random) -> str:
    return f"{_steps(exercise)} The answer is \\boxed{{{exercise.answer}}}."


def _rechecking(exercise: Exercise, rng: random.Random) -> str:
    return f"{_steps(exercise)} Wait, let me recheck. {_careful(exercise, rng)}"


def _hasty(exercise: Exercise, rng: random.Random) -> str:
    return f"{exercise.steps[0]}. The answer is \\boxed{{{exercise.first_result}}}."


def _copying(exercise: Exercise, rng: random.Random) -> str:
    return f"The answer is \\boxed{{{rng.choice(exercise.numbers)}}}."


def _boxless(exercise: Exercise, rng: random.Random) -> str:
    return f"{_steps(exercise)} The answer is {exercise.answer}."


def _coding(exercise: Exercise, rng: random.Random) -> str:
    return f"print({exercise.expression})"


STYLES: dict[str, tuple[float, Callable[[Exercise, random.Random], str]]] = {
    # style: (share of authors, how they answer)
    "careful": (0.18, _careful),
    "rechecking": (0.03, _rechecking),
    "hasty": (0.26, _hasty),
    "copying": (0.17, _copying),
    "boxless": (0.20, _boxless),
    "coding": (0.16, _coding),
}


def _draw_style(rng: random.Random) -> str:
    return rng.choices(list(STYLES), weights=[odds for odds, _ in STYLES.values()])[0]


def make_document(rng: random.Random, held_out: set[str]) -> list[tuple[str, str, str]]:
    """One author's document as (question, response, style) for each of its one to three problems."""
    document, author = [], None
    for _ in range(rng.choices((1, 2, 3), weights=(5, 3, 2))[0]):
        exercise = make_exercise(rng.choice(list(FAMILIES)), rng)
        while exercise.question in held_out:
            exercise = make_exercise(exercise.family, rng)
        author = author or _draw_style(rng)
        style = _draw_style(rng) if rng.random() < SLIP else author
        document.append((exercise.question, STYLES[style][1](exercise, rng), style))
    return document
