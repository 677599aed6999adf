"""reasoning-gym's generators (arXiv 2505.24760): `rg:TASK?size=200&seed=1`, and any field of the task's configuration.

Its scorers evaluate parts of an answer as Python. `make_safe` takes that from them, in the process that scores.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.problems.adapters import SCORED, Opinion, task_and_options, whole
from oneshot_rlvr.problems.problem import Problem

SIZE = 500  # problems, as the library has it
# Modules whose scorer calls `eval` on the answer; literals are all that any of them is meant to read.
EVALUATING = (
    "algorithmic.binary_matrix",
    "algorithmic.spiral_matrix",
    "algorithmic.string_insertion",
    "games.n_queens",
)
FUNCTIONS = {"sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "log", "ln", "sqrt", "pi"}
LONGEST = 1_000  # characters of an expression
MOST_DIGITS = 400  # of one number


class GymSet:
    """One task's problems, drawn from a seed."""

    def __init__(self, name: str, task: str, made: Any) -> None:
        self.name, self.task, self._made = name, task, made

    def problems(self) -> Sequence[Problem]:
        """All of them, in order."""
        return [self._problem(index, self._made[index]) for index in range(len(self._made))]

    def score(self, index: int, text: str, answer: str | None) -> Opinion:
        """What the task's own `score_answer` says. An answer on which it fails has 0."""
        entry = self._made[index]
        try:
            return Opinion(min(max(float(self._made.score_answer(answer, entry)), 0.0), 1.0), answer)
        except Exception:  # the library's own, on a model's text
            return Opinion(0.0, answer)

    def check(self) -> None:
        """Score the first problem's own answer."""
        entry = self._made[0]
        self._made.score_answer(entry["answer"], entry)

    def _problem(self, index: int, entry: dict[str, Any]) -> Problem:
        gold = entry.get("answer")
        return Problem(
            id=f"{self.task}-{index}",
            question=str(entry["question"]).strip(),
            answer=str(gold).strip() if gold not in (None, "") else "(whatever its scorer accepts)",
            source=f"rg:{self.task}",
            category=self._made.category,
            extra={SCORED: {"set": self.name, "index": index}},
        )


def open_set(name: str) -> GymSet:
    """The set that a name describes; the seed is 0 unless given.

    Raises:
        OneshotError: no such task or option, or a value that the task refuses.
    """
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    task, options = task_and_options(name)
    if task not in DATASETS:
        raise OneshotError(f"reasoning-gym has no task {task!r}", where=name, fix=nearest(task, sorted(DATASETS)))
    options["size"] = whole(name, "size", options.get("size", SIZE), 1)
    options["seed"] = whole(name, "seed", options.get("seed", 0), 0, 2**32 - 1)
    known = [field.name for field in dataclasses.fields(DATASETS[task][1])]
    if unknown := [key for key in options if key not in known]:
        raise OneshotError(f"{task} has no option {unknown[0]!r}", where=name, fix=nearest(unknown[0], known))
    try:
        return GymSet(name, task, reasoning_gym.create_dataset(task, **options))
    except (AssertionError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OneshotError(f"{task} cannot be made so: {reason}", where=name, fix="Change its options.") from error


def make_safe() -> None:
    """Take `eval` and sympy's parser from the scorers, for ones that read literals and arithmetic alone.

    Raises:
        RuntimeError: a module is not where it was, so that a scorer could evaluate what a model says.
    """
    import sympy

    for name in EVALUATING:
        module = sys.modules.get(f"reasoning_gym.{name}")
        if module is None:
            raise RuntimeError(f"reasoning-gym has no module {name} any more")
        module.__dict__["eval"] = ast.literal_eval
    parse = only_arithmetic(sympy.parse_expr)
    sympy.parse_expr = parse
    for name, module in list(sys.modules.items()):
        if name.startswith("reasoning_gym.") and hasattr(module, "parse_expr"):
            setattr(module, "parse_expr", parse)  # noqa: B010


def only_arithmetic(parse: Callable[..., Any]) -> Callable[..., Any]:
    """sympy's parser, which evaluates what it reads as Python, behind a check that this is arithmetic."""

    def checked(text: str, *args: Any, **options: Any) -> Any:
        if not is_arithmetic(text):
            raise ValueError("no arithmetic")
        return parse(text, *args, **options)

    return checked


def is_arithmetic(text: object) -> bool:
    """Numbers, one-letter names, known functions and the signs of arithmetic; no attribute, index or string.

    Powers of powers and numbers of hundreds of digits are refused too: nobody's answer has them.
    """
    if not isinstance(text, str) or len(text) > LONGEST or not re.fullmatch(r"[0-9A-Za-z\s+\-*/^().]*", text):
        return False
    if re.search(r"\.\s*[A-Za-z(]|[A-Za-z)]\s*\.|\d[A-Za-z]", text):
        return False
    if any(len(name) > 1 and name not in FUNCTIONS for name in re.findall(r"[A-Za-z]+", text)):
        return False
    if any(len(digits) > MOST_DIGITS for digits in re.findall(r"\d+", text)):
        return False
    powers = re.findall(r"(?:\*\*|\^)\s*(\([^()]*(?:\*\*|\^|\()|[-+\w.]+\s*(?:\*\*|\^)|[-+(\s]*\d{5,})", text)
    return not powers
