"""The plain collector."""

from __future__ import annotations

from oneshot_rlvr.training.collectors.registry import COLLECTORS
from oneshot_rlvr.training.groups import Group
from oneshot_rlvr.training.source import Source


@COLLECTORS.register("once")
def once(source: Source, step: int) -> list[Group]:
    """Sample every group of the step once."""
    return source.groups(step, source.problems_of(step))
