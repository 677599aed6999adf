"""The synthetic world: seven families of two- and three-step arithmetic problems, made from one seed.

No shortcut is ever right: the result of the first step and every number in the question differ from the answer, so a
style of answering that skips the work cannot be rewarded by luck.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

POOL_FAMILIES = ("chain", "equation", "word", "remainder", "variation")
UNSEEN_FAMILIES = ("sequence", "rectangle")
LARGEST_NUMBER = 200

NAMES = ("Tom", "Ana", "Ben", "Mia", "Leo", "Zoe", "Sam", "Eva")
THINGS = ("apples", "books", "coins", "cards", "shells", "pens", "stamps", "keys")


@dataclass(frozen=True)
class Exercise:
    """One problem of the world. `steps` are the worked solution, `expression` what one line of code would compute."""

    family: str
    wording: int
    question: str
    steps: tuple[str, ...]
    expression: str
    answer: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers that the question names."""
        return tuple(int(digits) for digits in re.findall(r"\d+", self.question))

    @property
    def first_result(self) -> int:
        """What the first step gives: the hasty answer."""
        return int(self.steps[0].rsplit("= ", 1)[1])

    @property
    def has_shortcut(self) -> bool:
        """Whether an answer without the work could be right."""
        return self.answer in self.numbers or self.answer == self.first_result


def make_exercise(family: str, rng: random.Random) -> Exercise:
    """Draw one exercise of `family` that has no shortcut and stays within the vocabulary's numbers."""
    while True:
        exercise = FAMILIES[family](rng)
        if not exercise.has_shortcut and 0 <= exercise.answer <= LARGEST_NUMBER:
            return exercise


def make_set(families: tuple[str, ...], size: int, rng: random.Random, taken: set[str]) -> list[Exercise]:
    """`size` exercises, the families in turn, whose questions are not in `taken`; adds theirs to it."""
    exercises: list[Exercise] = []
    while len(exercises) < size:
        exercise = make_exercise(families[len(exercises) % len(families)], rng)
        if exercise.question not in taken:
            taken.add(exercise.question)
            exercises.append(exercise)
    return exercises


def make_world(seed: int = 0, pool: int = 64, validation: int = 64, suite: int = 64) -> dict[str, list[Exercise]]:
    """Every set of the world by name: `pool`, `validation` and six suites. No question stands in two of them."""
    rng, taken = random.Random(f"world {seed}"), set[str]()
    sets = {
        "pool": make_set(POOL_FAMILIES, pool, rng, taken),
        "validation": make_set(POOL_FAMILIES, validation, rng, taken),
    }
    for family in POOL_FAMILIES:
        sets[f"suite-{family}"] = make_set((family,), suite, rng, taken)
    sets["suite-unseen"] = make_set(UNSEEN_FAMILIES, suite, rng, taken)
    return sets


def _pick(rng: random.Random, *wordings: str) -> tuple[int, str]:
    index = rng.randrange(len(wordings))
    return index, wordings[index]


def _chain(rng: random.Random) -> Exercise:
    terms = rng.choice((3, 3, 4))
    total = rng.randint(2, 20)
    expression, steps = str(total), []
    for _ in range(terms - 1):
        number = rng.randint(2, 20)
        sign = "-" if total > number and rng.random() < 0.5 else "+"
        result = total - number if sign == "-" else total + number
        steps.append(f"{total} {sign} {number} = {result}")
        expression += f" {sign} {number}"
        total = result
    wording, text = _pick(rng, "Compute {e}.", "What is {e}?", "Find the value of {e}.", "Evaluate {e}.")
    return Exercise("chain", wording, text.format(e=expression), tuple(steps), expression, total)


def _equation(rng: random.Random) -> Exercise:
    a, x, b = rng.randint(2, 9), rng.randint(2, 12), rng.randint(1, 20)
    minus = a * x > b and rng.random() < 0.4
    right = a * x - b if minus else a * x + b
    back, sign = ("+", "-") if minus else ("-", "+")
    wording, text = _pick(
        rng, "Solve {l} = {r} for x.", "If {l} = {r}, what is x?", "Find x when {l} = {r}.", "Let {l} = {r}. Find x."
    )
    steps = (f"{right} {back} {b} = {a * x}", f"{a * x} / {a} = {x}")
    question = text.format(l=f"{a} x {sign} {b}", r=right)
    return Exercise("equation", wording, question, steps, f"({right} {back} {b}) / {a}", x)


def _word(rng: random.Random) -> Exercise:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    if rng.random() < 0.5:
        a, b = rng.randint(3, 20), rng.randint(3, 20)
        c = rng.randint(2, a + b - 1) if a + b <= 21 else rng.randint(2, 20)
        wording, text = _pick(
            rng,
            "{n} has {a} {t}, gets {b} more and gives away {c}. How many {t} are left?",
            "{n} had {a} {t}. {n} found {b} more and lost {c}. How many {t} does {n} have now?",
        )
        steps = (f"{a} + {b} = {a + b}", f"{a + b} - {c} = {a + b - c}")
        answer, expression = a + b - c, f"{a} + {b} - {c}"
    else:
        a, b, c = rng.randint(2, 9), rng.randint(2, 12), rng.randint(2, 20)
        wording, text = _pick(
            rng,
            "{n} has {a} boxes of {b} {t} each and {c} more {t}. How many {t} in total?",
            "There are {a} bags with {b} {t} each. {n} adds {c} {t}. How many {t} are there?",
        )
        wording += 2
        steps = (f"{a} * {b} = {a * b}", f"{a * b} + {c} = {a * b + c}")
        answer, expression = a * b + c, f"{a} * {b} + {c}"
    return Exercise("word", wording, text.format(n=name, t=thing, a=a, b=b, c=c), steps, expression, answer)


def _remainder(rng: random.Random) -> Exercise:
    a, b, m = rng.randint(2, 20), rng.randint(2, 20), rng.randint(3, 9)
    total = a + b
    multiple = total // m * m
    wording, text = _pick(
        rng,
        "What is the remainder when {a} + {b} is divided by {m}?",
        "Find the remainder of {a} + {b} divided by {m}.",
        "Divide {a} + {b} by {m}. What remains?",
    )
    steps = (f"{a} + {b} = {total}", f"{m} * {total // m} = {multiple}", f"{total} - {multiple} = {total - multiple}")
    question = text.format(a=a, b=b, m=m)
    return Exercise("remainder", wording, question, steps, f"({a} + {b}) % {m}", total - multiple)


def _variation(rng: random.Random) -> Exercise:
    k, x1, x2 = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 12)
    wording, text = _pick(
        rng,
        "y varies directly as x. When x is {x1}, y is {y1}. Find y when x is {x2}.",
        "y is proportional to x, and y = {y1} at x = {x1}. What is y at x = {x2}?",
        "If {x1} {t} cost {y1} coins, what do {x2} {t} cost?",
    )
    steps = (f"{k * x1} / {x1} = {k}", f"{k} * {x2} = {k * x2}")
    question = text.format(x1=x1, y1=k * x1, x2=x2, t=rng.choice(THINGS))
    return Exercise("variation", wording, question, steps, f"{k * x1} / {x1} * {x2}", k * x2)


def _sequence(rng: random.Random) -> Exercise:
    start, step = rng.randint(1, 20), rng.randint(2, 12)
    terms = [start + step * i for i in range(4)]
    wording, text = _pick(
        rng, "What number comes next: {s}?", "Find the next number of {s}.", "Continue the sequence {s}."
    )
    steps = (f"{terms[1]} - {terms[0]} = {step}", f"{terms[3]} + {step} = {terms[3] + step}")
    question = text.format(s=", ".join(map(str, terms)))
    return Exercise("sequence", wording, question, steps, f"{terms[3]} + {terms[1]} - {terms[0]}", terms[3] + step)


def _rectangle(rng: random.Random) -> Exercise:
    a, b = rng.randint(2, 20), rng.randint(2, 20)
    if rng.random() < 0.5:
        wording, text = _pick(
            rng,
            "A rectangle has sides {a} and {b}. Find its perimeter.",
            "What is the perimeter of a {a} by {b} field?",
        )
        steps = (f"{a} + {b} = {a + b}", f"{a + b} * 2 = {(a + b) * 2}")
        return Exercise("rectangle", wording, text.format(a=a, b=b), steps, f"({a} + {b}) * 2", (a + b) * 2)
    a, b, c = rng.randint(2, 12), rng.randint(2, 12), rng.randint(2, 20)
    wording, text = _pick(
        rng,
        "A rectangle has sides {a} and {b}. A part of area {c} is cut off. What area is left?",
        "From a {a} by {b} sheet cut off area {c}. Find the area that is left.",
    )
    steps = (f"{a} * {b} = {a * b}", f"{a * b} - {c} = {a * b - c}")
    question = text.format(a=a, b=b, c=c)
    return Exercise("rectangle", wording + 2, question, steps, f"{a} * {b} - {c}", a * b - c)


FAMILIES: dict[str, Callable[[random.Random], Exercise]] = {
    "chain": _chain,
    "equation": _equation,
    "word": _word,
    "remainder": _remainder,
    "variation": _variation,
    "sequence": _sequence,
    "rectangle": _rectangle,
}
