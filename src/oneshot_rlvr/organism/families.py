"""The families of the world. Each draws a problem and writes its solution once, as a function of a `Work`.

Level 1 takes about two steps, level 2 three, level 3 has a trap in one of them (work.py). The last wording of each
family is kept out of the pool.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from oneshot_rlvr.organism.work import Work

NAMES = ("Tom", "Ana", "Ben", "Mia", "Leo", "Zoe", "Sam", "Eva")
THINGS = ("apples", "books", "coins", "cards", "shells", "pens", "stamps", "keys")
LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Draft:
    """A drawn problem: its question in every wording, its solution, and the line of code that computes it.

    `wrong` is how those solve it who never had the hint (the family `secret`).
    """

    wordings: tuple[str, ...]
    solve: Callable[[Work], str]
    code: str
    hint: str | None = None
    wrong: Callable[[Work], str] | None = None
    extra_shortcuts: tuple[str, ...] = ()

    def worked(self, slip: bool = False, hinted: bool = True) -> Work:
        """The solution; with a slip, if it has a trap."""
        work = Work(slip)
        solve = self.solve if hinted or self.wrong is None else self.wrong
        work.answer = solve(work)
        return work

    @property
    def shortcuts(self) -> tuple[str, ...]:
        """What can be copied from the question: its numbers, names and letters."""
        return (*re.findall(r"\d+", self.wordings[0]), *self.extra_shortcuts)


def _chain(rng: random.Random, level: int) -> Draft:
    terms = {1: 3, 2: 4, 3: 4, 4: rng.choice((6, 7))}[level]
    start = rng.randint(2, 20) + (30 if level == 3 else 0)
    moves: list[tuple[str, int]] = []
    total, high = start, rng.randrange(terms - 1) if level == 3 else -1
    for place in range(terms - 1):
        number = rng.randint(2, 20)
        sign = rng.choice("+-")
        if place == high:
            sign, number = "+", rng.randint(12, 40)
        total += number if sign == "+" else -number
        moves.append((sign, number))

    def solve(work: Work) -> str:
        value = start
        for sign, number in moves:
            result = value + number if sign == "+" else value - number
            value = work.step(f"{value} {sign} {number}", result)
        return str(value)

    text = str(start) + "".join(f" {sign} {number}" for sign, number in moves)
    wordings = (f"Compute {text}.", f"What is {text}?", f"Find the value of {text}.", f"Evaluate {text}.")
    return Draft(wordings, solve, text)


def _equation(rng: random.Random, level: int) -> Draft:
    a, x, b = rng.randint(2, 9), rng.randint(2, 12), rng.randint(2, 20)
    x = -x if level == 2 and rng.random() < 0.5 else x
    if level == 3:
        a, x, b, c = rng.randint(2, 6), rng.randint(6, 14), rng.randint(12, 50), rng.randint(2, 5)
        right = a * x + c * x - b

        def solve_hard(work: Work) -> str:
            both = work.step(f"{a} + {c}", a + c)
            moved = work.step(f"{right} + {b}", right + b)
            return str(work.divide(moved, both))

        left = f"{a} x + {c} x - {b} = {right}"
        return Draft(_solve_wordings(left), solve_hard, f"({right} + {b}) / ({a} + {c})")
    right, back = a * x + b, "-"

    def solve(work: Work) -> str:
        moved = work.step(f"{right} {back} {b}", right - b)
        value = work.divide(moved, a)
        if level == 2:
            value = work.step(f"{value} + {a}", value + a)
        return str(value)

    asked = f"x + {a}" if level == 2 else "x"
    return Draft(_solve_wordings(f"{a} x + {b} = {right}", asked), solve, f"({right} - {b}) / {a}")


def _solve_wordings(equation: str, asked: str = "x") -> tuple[str, ...]:
    return (
        f"Solve {equation} and give {asked}.",
        f"If {equation}, what is {asked}?",
        f"Find {asked} when {equation}.",
        f"Let {equation}. Find {asked}.",
    )


def _remainder(rng: random.Random, level: int) -> Draft:
    a, b, m = rng.randint(2, 20), rng.randint(2, 20), rng.randint(3, 9)
    c = rng.randint(2, 20) if level == 2 else 0
    if level == 3:
        a, b, m = rng.randint(35, 60), rng.randint(26, 50), rng.choice((3, 4, 6, 7, 8, 9))

    def solve(work: Work) -> str:
        total = work.step(f"{a} + {b}", a + b)
        if c:
            total = work.step(f"{total} + {c}", total + c)
        multiple = work.step(f"{m} * {total // m}", total // m * m)
        return str(work.step(f"{total} - {multiple}", total - multiple))

    text = f"{a} + {b}" + (f" + {c}" if c else "")
    wordings = (
        f"What is the remainder when {text} is divided by {m}?",
        f"Find the remainder of {text} divided by {m}.",
        f"What remains when {text} is divided by {m}?",
        f"Divide {text} by {m}. What remains?",
    )
    return Draft(wordings, solve, f"({text}) % {m}")


def _variation(rng: random.Random, level: int) -> Draft:
    k, x1, x2 = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 12)
    more = rng.randint(2, 20) if level == 2 else 0
    if level == 3:
        k, x2, more = rng.randint(6, 12), rng.randint(9, 12), rng.randint(2, 12)

    def solve(work: Work) -> str:
        rate = work.divide(k * x1, x1)
        value = work.step(f"{rate} * {x2}", rate * x2)
        return str(work.step(f"{value} + {more}", value + more) if more else value)

    thing = rng.choice(THINGS)
    asked = f"y + {more}" if more else "y"
    extra = f" with a fee of {more} coins" if more else ""
    wordings = (
        f"y varies directly as x. When x is {x1}, y is {k * x1}. Find {asked} when x is {x2}.",
        f"y is proportional to x, and y = {k * x1} at x = {x1}. What is {asked} at x = {x2}?",
        f"If {x1} {thing} cost {k * x1} coins, what do {x2} {thing} cost{extra}?",
        f"Buying {x1} {thing} takes {k * x1} coins. How many coins buy {x2} {thing}{extra}?",
    )
    return Draft(wordings, solve, f"{k * x1} / {x1} * {x2}" + (f" + {more}" if more else ""))


def _fraction(rng: random.Random, level: int) -> Draft:
    b = rng.randint(2, 9)
    d = b if level == 1 else rng.choice([n for n in range(2, 10) if n != b])
    a, c = rng.randint(1, 9), rng.randint(1, 9)
    if level == 3:
        a, c = rng.randint(7, 12), rng.randint(7, 12)
    sign = rng.choice("+-") if level < 3 else "+"

    def solve(work: Work) -> str:
        top, bottom, second = a, b, c
        if d != b:
            bottom = work.step(f"{b} * {d}", b * d)
            top = work.step(f"{a} * {d}", a * d)
            second = work.step(f"{c} * {b}", c * b)
        result = top + second if sign == "+" else top - second
        top = work.step(f"{top} {sign} {second}", result)
        return work.reduce(top, bottom) if top % bottom or not top else str(work.divide(top, bottom))

    text = f"{a}/{b} {sign} {c}/{d}"
    wordings = (
        f"Compute {text}.",
        f"What is {text}?",
        f"Write {text} as one fraction.",
        f"Give {text} in lowest terms.",
    )
    return Draft(wordings, solve, text)


def _word(rng: random.Random, level: int) -> Draft:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    moves = [rng.randint(2, 20) for _ in range({1: 1, 2: 2, 3: 2, 4: rng.choice((4, 5))}[level])]
    if level == 3:
        a, b = rng.randint(7, 9), rng.randint(9, 14)
    verbs = ("buys", "gives away", "finds", "loses", "gets")
    signs = ["-" if verb in ("gives away", "loses") else "+" for verb in verbs]

    def solve(work: Work) -> str:
        value = work.step(f"{a} * {b}", a * b)
        for sign, number in zip(signs, moves, strict=False):
            value = work.step(f"{value} {sign} {number}", value + number if sign == "+" else value - number)
        return str(value)

    acts = ", ".join(f"{verb} {number}" for verb, number in zip(verbs, moves, strict=False))
    wordings = (
        f"{name} has {a} boxes of {b} {thing} each and {acts}. How many {thing} are left?",
        f"There are {a} bags with {b} {thing} each. {name} {acts}. How many {thing} are there now?",
        f"From {a} packs of {b} {thing}, {name} {acts}. How many {thing} does {name} have?",
        f"{name} owns {a} sets of {b} {thing}, then {acts}. Find the number of {thing}.",
    )
    code = f"{a} * {b}" + "".join(f" {s} {n}" for s, n in zip(signs, moves, strict=False))
    return Draft(wordings, solve, code)


def _mean(rng: random.Random, level: int) -> Draft:
    count = {1: 2, 2: 3, 3: 3}[level]
    numbers = [rng.randint(2, 30) + (18 if level == 3 else 0) for _ in range(count)]

    def solve(work: Work) -> str:
        total = numbers[0]
        for number in numbers[1:]:
            total = work.step(f"{total} + {number}", total + number)
        return str(work.divide(total, count)) if total % count == 0 else work.reduce(total, count)

    listed = ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    wordings = (
        f"Find the mean of {listed}.",
        f"What is the average of {listed}?",
        f"Give the mean of the numbers {listed}.",
        f"On average, how large are {listed}?",
    )
    return Draft(wordings, solve, f"({' + '.join(map(str, numbers))}) / {count}")


def _pair(rng: random.Random, level: int) -> Draft:
    small, gap = rng.randint(2, 20), rng.randint(2, 20)
    if level == 3:
        small, gap = rng.randint(32, 45), rng.randint(5, 20)
    large = small + gap
    total = small + large

    def solve(work: Work) -> str:
        double = work.step(f"{total} + {gap}", total + gap)
        first = work.divide(double, 2)
        second = work.step(f"{total} - {first}", total - first)
        if level == 2:
            first, second = work.step(f"{first} + 1", first + 1), second
        return f"({first}, {second})"

    one_more = " with x + 1 in place of x" if level == 2 else ""
    wordings = (
        f"Two numbers have sum {total} and difference {gap}. Give the pair (x, y), larger first{one_more}.",
        f"x + y = {total} and x - y = {gap}. Find (x, y){one_more}.",
        f"Find (x, y) when x + y is {total} and x - y is {gap}{one_more}.",
        f"The sum of x and y is {total}, x is larger by {gap}. What is (x, y){one_more}?",
    )
    return Draft(wordings, solve, f"({total} + {gap}) / 2")


def _compare(rng: random.Random, level: int) -> Draft:
    first, second, third = rng.sample(NAMES, 3)
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    c, d = rng.randint(2, 9), rng.randint(2, 9)
    more = rng.randint(2, 9) if level > 1 else 0
    if level == 3:
        a, b = rng.randint(7, 9), rng.randint(9, 12)
        near = [
            (x, y) for x in range(2, 13) for y in range(2, 13) if 0 < a * b + more - x * y < 10
        ]  # ten too few decide
        c, d = rng.choice(near or [(c, d)])

    def solve(work: Work) -> str:
        left = work.step(f"{a} * {b}", a * b)
        if more:
            left = work.step(f"{left} + {more}", left + more)
        right = work.step(f"{c} * {d}", c * d)
        if left == right:
            work.exact = False
            return first
        work.steps.append(f"{max(left, right)} > {min(left, right)}")
        return first if left > right else second

    thing, extra = rng.choice(THINGS), f" and {more} more" if more else ""
    one, two = f"{first} has {a} boxes of {b} {thing}{extra}", f"{second} has {c} boxes of {d} {thing}"
    wordings = (
        f"{one}, {two}. Who has more?",
        f"{one}. {two}. Name the one with more {thing}.",
        f"{third} sees that {one} and {two}. Who owns more?",
        f"{one}, while {two}. Which of them has more {thing}?",
    )
    return Draft(wordings, solve, f"{a} * {b} > {c} * {d}")


def _choice(rng: random.Random, level: int) -> Draft:
    a, b, c = rng.randint(2, 12), rng.randint(2, 9), rng.randint(2, 20)
    if level == 3:
        a, b = rng.randint(8, 12), rng.randint(8, 9)

    def value_of(work: Work) -> int:
        value = work.step(f"{a} * {b}", a * b)
        value = work.step(f"{value} + {c}", value + c)
        return work.step(f"{value} - {b}", value - b) if level > 1 else value

    right = value_of(Work())
    others = [n for n in dict.fromkeys((right - 10, right + 10, a * b, right + 1, right - 2)) if n != right and n > 0]
    options = [right, others[0], *others[1:3]]
    rng.shuffle(options)

    def solve(work: Work) -> str:
        value = value_of(work)
        return LETTERS[options.index(value)] if value in options else LETTERS[0]

    text = f"{a} * {b} + {c}" + (f" - {b}" if level > 1 else "")
    listed = " ".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=True))
    wordings = (
        f"Which is {text}? {listed}",
        f"Choose the value of {text}: {listed}",
        f"Pick the letter of {text}. {listed}",
        f"{text} is one of these. Which letter? {listed}",
    )
    return Draft(wordings, solve, text)


def _sequence(rng: random.Random, level: int) -> Draft:
    start, step = rng.randint(1, 20), rng.randint(2, 12)
    further = 1 if level == 1 else 2
    if level == 3:
        start = rng.randint(20, 40)
    terms = [start + step * i for i in range(4)]

    def solve(work: Work) -> str:
        gap = work.step(f"{terms[1]} - {terms[0]}", terms[1] - terms[0])
        value = terms[3]
        for _ in range(further):
            value = work.step(f"{value} + {gap}", value + gap)
        return str(value)

    listed, ordinal = ", ".join(map(str, terms)), ("next number" if further == 1 else "number after the next")
    wordings = (
        f"What is the {ordinal} of {listed}?",
        f"Find the {ordinal} of {listed}.",
        f"Continue {listed} and give the {ordinal}.",
        f"In {listed}, which is the {ordinal}?",
    )
    return Draft(wordings, solve, f"{terms[3]} + {step}")


def _rectangle(rng: random.Random, level: int) -> Draft:
    a, b, c = rng.randint(2, 15), rng.randint(2, 12), rng.randint(2, 20)
    if level == 3:
        a, b = rng.randint(9, 12), rng.randint(8, 12)

    def solve(work: Work) -> str:
        area = work.step(f"{a} * {b}", a * b)
        value = work.step(f"{area} - {c}", area - c)
        return str(work.step(f"{value} + {a}", value + a) if level > 1 else value)

    extra = f" Add {a} to it." if level > 1 else ""
    wordings = (
        f"A rectangle has sides {a} and {b}. A part of area {c} is cut off. What area is left?{extra}",
        f"From a {a} by {b} sheet cut off area {c}. Find the area that is left.{extra}",
        f"A {a} by {b} field loses area {c}. How large is it now?{extra}",
        f"Area {c} is missing from a rectangle of {a} by {b}. What remains?{extra}",
    )
    return Draft(wordings, solve, f"{a} * {b} - {c}")


def _secret(rng: random.Random, level: int) -> Draft:
    """`a # b` is 2 a + b, which the pretraining text never says: without a hint it is taken for a plus."""
    a, b, c = rng.randint(2, 30), rng.randint(2, 30), rng.randint(2, 20)

    def with_rule(rule: Callable[[int, int, Work], int]) -> Callable[[Work], str]:
        def solve(work: Work) -> str:
            value = rule(a, b, work)
            for number in (c, b)[: level - 1]:
                value = work.step(f"{value} + {number}", value + number)
            return str(value)

        return solve

    def right(x: int, y: int, work: Work) -> int:
        double = work.step(f"2 * {x}", 2 * x)
        return work.step(f"{double} + {y}", double + y)

    def wrong(x: int, y: int, work: Work) -> int:
        return work.step(f"{x} + {y}", x + y)

    text = f"{a} # {b}" + "".join(f" + {n}" for n in (c, b)[: level - 1])
    wordings = (f"Compute {text}.", f"What is {text}?", f"Find the value of {text}.", f"Evaluate {text}.")
    return Draft(wordings, with_rule(right), text, hint=f"{a} # {b} = 2 * {a} + {b}", wrong=with_rule(wrong))


FAMILIES: dict[str, Callable[[random.Random, int], Draft]] = {
    "chain": _chain,
    "equation": _equation,
    "remainder": _remainder,
    "variation": _variation,
    "fraction": _fraction,
    "word": _word,
    "mean": _mean,
    "pair": _pair,
    "compare": _compare,
    "choice": _choice,
    "sequence": _sequence,
    "rectangle": _rectangle,
    "secret": _secret,
}
