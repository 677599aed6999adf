"""Problem sets by name: the organism's own, and files of a data folder (`ONESHOT_DATA`)."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.problems.benchmarks import BENCHMARKS, from_hub
from oneshot_rlvr.problems.loaders import READERS, load_problems
from oneshot_rlvr.problems.problem import Problem

ORGANISM_DATA = Path(str(resources.files("oneshot_rlvr"))) / "organism" / "data"


def named_sets() -> dict[str, Path]:
    """Every set that can be asked for by name, and its file.

    `organism` is the pool, `organism:validation`, and `organism:NAME` a held-out suite. With `ONESHOT_DATA` set, each
    problem file under that folder is known by its stem.
    """
    sets = {"organism": ORGANISM_DATA / "pool.jsonl"}
    for path in sorted(ORGANISM_DATA.glob("*.jsonl")):
        sets[f"organism:{path.stem.removeprefix('suite-')}"] = path
    folder = os.environ.get("ONESHOT_DATA")
    if folder:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in READERS:
                sets.setdefault(path.stem, path)
    return sets


def organism_suites() -> list[str]:
    """The names of the organism's six held-out suites."""
    return [f"organism:{path.stem.removeprefix('suite-')}" for path in sorted(ORGANISM_DATA.glob("suite-*.jsonl"))]


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
