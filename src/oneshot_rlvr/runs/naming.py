"""How steps are spelt in file names and as keys of score files."""

from __future__ import annotations

BASE = "base"


def step_name(step: int) -> str:
    """How a step is spelt; step 0 is the base."""
    return f"step_{step:06d}" if step else BASE


def step_of(name: str) -> int:
    """The step that `step_name` spelt; any other name (the base, a model by itself) is step 0."""
    digits = name.removeprefix("step_")
    step = int(digits) if digits.isascii() and digits.isdecimal() else 0
    return step if name == step_name(step) else 0
