"""reasoning-gym's generators (arXiv 2505.24760): `rg:TASK?size=200&seed=1`, and any field of the task's configuration.

Its scorers evaluate parts of an answer as Python. `make_safe` takes that from them, in the process that scores.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import sys
from collections.abc import Callable
from typing import Any

from oneshot_rlvr.errors import OneshotError, first_line, nearest
from oneshot_rlvr.problems.adapters import SCORED, Opinion, cannot, task_and_options, whole
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
LARGEST_POWER = 9_999
NOT_FINITE = re.compile(r"(?i)\b(?:nan|inf|infinity)\b")


class GymSet:
    """One task's problems, drawn from a seed."""

    def __init__(self, name: str, task: str, made: Any) -> None:
        self.name, self.task, self._made = name, task, made

    def __len__(self) -> int:
        return len(self._made)

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - a set lives as long as its process, or nearly
    def _entry(self, index: int) -> dict[str, Any]:
        return self._made[index]

    def problem(self, index: int) -> Problem:
        """The problem at a place."""
        entry = self._entry(index)
        gold = entry.get("answer")
        return Problem(
            id=f"{self.task}-{index}",
            question=str(entry["question"]).strip(),
            answer=str(gold).strip() if gold not in (None, "") else "(whatever its scorer accepts)",
            source=f"rg:{self.task}",
            category=self._made.category,
            extra={SCORED: {"set": self.name, "index": index}},
        )

    def score(self, index: int, text: str, answer: str | None) -> Opinion:
        """What the task's own `score_answer` says. An answer on which it fails has 0."""
        entry = self._entry(index)
        if NOT_FINITE.search(answer or "") and not NOT_FINITE.search(str(entry.get("answer"))):
            return Opinion(0.0, answer)  # some scorers take NaN for right: no difference from it is large
        try:
            return Opinion.of(float(self._made.score_answer(answer, entry)), answer)
        except Exception:  # the library's own, on a model's text
            return Opinion(0.0, answer)

    def check(self) -> None:
        """Score the first problem's own answer."""
        entry = self._entry(0)
        self._made.score_answer(entry["answer"], entry)


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
    fields = [field.name for field in dataclasses.fields(DATASETS[task][1])]
    known = [field for field in fields if not field.endswith(("file", "path"))]  # a name opens nothing
    if unknown := [key for key in options if key not in known]:
        raise OneshotError(f"{task} has no option {unknown[0]!r}", where=name, fix=nearest(unknown[0], known))
    try:
        return GymSet(name, task, reasoning_gym.create_dataset(task, **options))
    except Exception as error:  # the library's own
        raise cannot(name, first_line(error)) from error


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
    theirs = sympy.parse_expr
    parse = sympy.parse_expr = only_arithmetic(theirs)
    for name, module in list(sys.modules.items()):
        if name.startswith("reasoning_gym.") and getattr(module, "parse_expr", None) is theirs:
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

    Numbers of hundreds of digits, powers beyond `LARGEST_POWER` and powers of powers of numbers are refused too.
    """
    if not isinstance(text, str) or len(text) > LONGEST or not re.fullmatch(r"[0-9A-Za-z\s+\-*/^().]*", text):
        return False
    if re.search(r"\.\s*[A-Za-z(]|[A-Za-z)]\s*\.|\d[A-Za-z]", text):
        return False
    if any(len(name) > 1 and name not in FUNCTIONS for name in re.findall(r"[A-Za-z]+", text)):
        return False
    if any(len(digits) > MOST_DIGITS for digits in re.findall(r"\d+", text)):
        return False
    try:
        tree = ast.parse(text.strip().replace("^", "**"), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return not any(_too_large(node) for node in ast.walk(tree))


def _too_large(node: ast.AST) -> bool:
    """Whether this is a power of numbers alone with another power in it, or with a very large exponent."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)):
        return False
    within = list(ast.walk(node))
    exponents = [part.value for part in ast.walk(node.right) if isinstance(part, ast.Constant)]
    if any(isinstance(value, int | float) and value > LARGEST_POWER for value in exponents):
        return True
    called = {id(part.func) for part in within if isinstance(part, ast.Call)}
    symbols = [part for part in within if isinstance(part, ast.Name) and id(part) not in called]
    powers = [part for part in within if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Pow)]
    return not symbols and len(powers) > 1
