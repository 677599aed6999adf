"""The export that this process works for, read once."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from oneshot_rlvr.cluster.folder import ENVIRONMENT, LAUNCH, Asked, Folder
from oneshot_rlvr.config import Config


def folder() -> Folder:
    """The export's folder."""
    return Folder(Path(os.environ[ENVIRONMENT]))


def launch() -> int:
    """The launch's number."""
    return int(os.environ.get(LAUNCH, "0"))


@lru_cache(maxsize=1)
def config() -> Config:
    """What the run was asked to do."""
    return folder().config


@lru_cache(maxsize=2)
def asked(split: str) -> tuple[Asked, ...]:
    """The problems of a split in the order of their `index`."""
    if split == "train":
        return tuple(folder().asked())
    return tuple(Asked(problem, (problem.question,), (0.0,)) for problem in folder().problems(split))
