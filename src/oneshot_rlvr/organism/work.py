"""A worked solution as it is written: steps with their results, and where a slip can happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd

LARGEST_NUMBER = 200  # numbers have a token each, up to here
TRAP = 60  # a sum or product beyond it invites a slip: ten too few, as a forgotten carry gives


@dataclass
class Work:
    """Steps in order. With `slip`, the first sum or product past `TRAP` is ten too small; the rest builds on it.

    A family writes its solution once, as a function of a `Work`; right and wrong solutions come from the same function.
    """

    slip: bool = False
    steps: list[str] = field(default_factory=list)
    answer: str = ""
    trapped: bool = False
    exact: bool = True
    first_result: str = ""
    largest: int = 0

    @property
    def fits(self) -> bool:
        """Whether every number has a token and every division came out even."""
        return self.exact and self.largest <= LARGEST_NUMBER

    def step(self, text: str, value: int) -> int:
        """Write `text = value` and return the value, slipped where this is the trap."""
        if value > TRAP and not self.trapped and ("+" in text or "*" in text):
            self.trapped = True
            value -= 10 if self.slip else 0
        self._write(text, str(value), value)
        return value

    def divide(self, a: int, b: int) -> int:
        """Write `a / b = a // b`; one that does not come out even makes the work useless."""
        self.exact = self.exact and a % b == 0
        return self.step(f"{a} / {b}", a // b)

    def reduce(self, top: int, bottom: int) -> str:
        """Write a fraction in lowest terms, unless it is already."""
        common = gcd(top, bottom) or 1
        lowest = f"{top // common}/{bottom // common}" if bottom != common else str(top // common)
        if common > 1:
            self._write(f"{top}/{bottom}", lowest, max(abs(top), bottom))
        return lowest

    def _write(self, text: str, result: str, size: int) -> None:
        self.steps.append(f"{text} = {result}")
        self.first_result = self.first_result or result
        self.largest = max(self.largest, abs(size))
