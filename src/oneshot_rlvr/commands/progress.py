"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere and with --quiet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

PLAIN_EVERY = 10.0  # seconds between plain lines


class Task:
    """One piece of work of `total` parts."""

    def __init__(self, name: str, total: int, bar: Progress | None) -> None:
        self.name, self.total, self.bar = name, total, bar
        self.started = self.printed = time.monotonic()
        self.first: int | None = None
        self.ended = False
        self.id = bar.add_task(name, total=total, note="", rate="") if bar else None

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        """Say how much is done, with a short note."""
        self.total = total or self.total
        if self.bar is not None and self.id is not None:
            speed = self.bar.tasks[self.id].speed
            rate = f"{speed:.2g}/s" if speed else ""
            self.bar.update(self.id, completed=done, total=self.total, note=escape(note), rate=rate)
            return
        now = time.monotonic()
        begins = self.first is None
        if self.first is None:
            self.first, self.started = done, now
        ends, self.ended = done == self.total and not self.ended, done == self.total
        if begins or ends or now - self.printed >= PLAIN_EVERY:
            self.printed = now
            rate = (now - self.started) / max(1, done - self.first)
            left = f", {rate * (self.total - done):.0f} s left" if done > self.first and done < self.total else ""
            print(f"{self.name}: {done}/{self.total}{left}  {note}".rstrip(), flush=True)


class Reporter:
    """Hands out tasks; see the module's text."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console()
        self.plain = quiet or not self.console.is_terminal

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Task]:
        """A task whose bar lives as long as the block."""
        if self.plain:
            yield Task(name, total, None)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=9)),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("left"),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        )
        with Progress(*columns, console=self.console) as bar:
            yield Task(name, total, bar)


def training_note(metrics: dict[str, float]) -> str:
    """What a training step's progress line shows."""
    note = f"reward {metrics['reward/mean']:.2f}"
    if "policy/entropy" in metrics:
        note += f" entropy {metrics['policy/entropy']:.3f}"
    validation = next((value for name, value in metrics.items() if name.startswith("validation/")), None)
    return note if validation is None else f"{note} validation {validation:.1f}"
