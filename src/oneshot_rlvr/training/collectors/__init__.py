"""Collectors: where a step's graded groups come from. `collector(source, step) -> list[Group]`, options as keywords.

A collector asks the `Source` for problems and for groups sampled of them, and returns those that the step is to train
on: as many as it likes, of any sizes.
"""

from oneshot_rlvr.training.collectors import demonstrations, hint, once, refill  # noqa: F401 - each registers itself
from oneshot_rlvr.training.collectors.registry import COLLECTORS

__all__ = ["COLLECTORS"]
