"""Problem sets by name: what guests registered, files of a data folder (`ONESHOT_DATA`), public benchmarks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.problems.benchmarks import BENCHMARKS, from_hub
from oneshot_rlvr.problems.loaders import READERS, load_problems
from oneshot_rlvr.problems.problem import Problem

_SETS: dict[str, Path] = {}
_SUITES: dict[str, tuple[str, ...]] = {}


def register_sets(name: str, sets: Mapping[str, Path], suites: Sequence[str]) -> None:
    """Make problem files known by name, and `name` stand for the held-out `suites` among them in an evaluation."""
    _SETS.update(sets)
    _SUITES[name] = tuple(suites)


def named_sets() -> dict[str, Path]:
    """Every set that can be asked for by name, and its file.

    With `ONESHOT_DATA` set, each problem file under that folder is known by its stem.
    """
    sets = dict(_SETS)
    folder = os.environ.get("ONESHOT_DATA")
    if folder:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in READERS:
                sets.setdefault(path.stem, path)
    return sets


def suites_of(name: str) -> tuple[str, ...]:
    """The held-out suites that a guest's name stands for; any other name stands for itself."""
    return _SUITES.get(name, (name,))


def default_suites() -> tuple[str, ...]:
    """What is evaluated when nothing is named: the first guest's suites."""
    return next(iter(_SUITES.values()), ())


def find_problems(name: str, skip_bad_rows: bool = False) -> list[Problem]:
    """The problems of a named set, a benchmark or a file.

    Raises:
        OneshotError: no such name or file, or a file that cannot be used.
    """
    sets = named_sets()
    if name in sets:
        return load_problems(sets[name], skip_bad_rows)
    if name in BENCHMARKS:
        return from_hub(BENCHMARKS[name])
    if Path(name).suffix in READERS or Path(name).exists():
        return load_problems(name, skip_bad_rows)
    raise OneshotError(
        f"no problem set or file {name!r}",
        fix=f"{nearest(name, [*sets, *BENCHMARKS])} Or give a .jsonl, .csv or .parquet file, or set ONESHOT_DATA.",
    )
