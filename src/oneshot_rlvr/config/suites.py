"""Suites of recipes that `oneshot ablate` compares (`suites.yaml`), and what the paper says of each (`paper.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

import yaml

from oneshot_rlvr.errors import OneshotError, nearest

BASE, IN_CONTEXT = "base", "in-context"  # rows that nothing is trained for
ALL = "all"


@dataclass(frozen=True)
class Row:
    """One line of a table: a recipe on a model (None: the one asked for), with settings, on suites (none: all)."""

    name: str
    recipe: str
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    suites: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether something is trained for it."""
        return self.recipe not in (BASE, IN_CONTEXT)


@dataclass(frozen=True)
class PaperRow:
    """What the paper says: which row, the average over its benchmarks if it has one, MATH500; percent."""

    row: str
    math500: float
    average: float | None = None

    @property
    def figure(self) -> float:
        """The average, or MATH500 where there is none."""
        return self.math500 if self.average is None else self.average

    def __str__(self) -> str:
        return f"{self.row}: {'MATH500' if self.average is None else 'average'}"


@lru_cache(maxsize=1)
def paper() -> dict[str, PaperRow]:
    """The paper's figures by the name of a row."""
    return {name: PaperRow(**values) for name, values in _yaml("paper.yaml").items()}


def suite_names() -> list[str]:
    """What can be asked for."""
    return [*_yaml("suites.yaml"), ALL]


def rows_of(suite: str, guest: bool) -> list[Row]:
    """A suite's rows, the base first; `all` is those of every suite that is for this kind of model.

    Raises:
        OneshotError: no such suite, or one for another kind of model.
    """
    known = _yaml("suites.yaml")
    kind: Literal["guests", "others"] = "guests" if guest else "others"
    wanted = {name: values for name, values in known.items() if values.get("only", kind) == kind}
    if suite != ALL and suite not in wanted:
        what = "this suite is for other models" if suite in known else f"unknown suite {suite!r}"
        raise OneshotError(what, where="oneshot ablate", fix=nearest(suite, [*wanted, ALL]))
    chosen = wanted.values() if suite == ALL else [wanted[suite]]
    rows = [Row(BASE, BASE), *(_row(written) for values in chosen for written in values["rows"])]
    return list({row.name: row for row in rows}.values())


def _row(written: str | dict[str, Any]) -> Row:
    if isinstance(written, str):
        recipe, _, model = written.partition("@")
        return Row(written, recipe, model or None)
    fields: dict[str, Any] = {**written, "suites": tuple(written.get("suites", ()))}
    return Row(**fields)


@lru_cache(maxsize=2)
def _yaml(name: str) -> dict[str, Any]:
    return yaml.safe_load((resources.files("oneshot_rlvr.config") / name).read_text(encoding="utf-8"))
