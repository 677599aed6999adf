"""Problem files by name: what guests registered, and those of a data folder (`ONESHOT_DATA`)."""

from __future__ import annotations

import os
from pathlib import Path

from oneshot_rlvr.problems.loaders import READERS

SETS: dict[str, Path] = {}  # what guests registered


def named_sets() -> dict[str, Path]:
    """Every set that can be asked for by name, and its file.

    With `ONESHOT_DATA` set, each problem file under that folder is known by its stem.
    """
    sets = dict(SETS)
    folder = os.environ.get("ONESHOT_DATA")
    if folder:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in READERS:
                sets.setdefault(path.stem, path)
    return sets
