"""Train a reasoning model with reinforcement learning on one example, and find out why it works.

    import oneshot_rlvr as oneshot

    run = oneshot.train("grpo", model="organism", problems=[("What is 3 + 4 + 5?", "12")])
    scores = oneshot.evaluate(run)
    page = oneshot.report([run])

What the command `oneshot` does, and nothing else; docs/api.md.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

import oneshot_rlvr.organism  # noqa: F401 - the guest that ships with the package makes itself known

if TYPE_CHECKING:
    from oneshot_rlvr.commands.api import diagnose, evaluate, report, select, train
    from oneshot_rlvr.commands.judging_api import close_loop, collect_paths, compare_selectors, prompt_study

_RUNS = ("diagnose", "evaluate", "report", "select", "train")
__all__ = [
    "close_loop",
    "collect_paths",
    "compare_selectors",
    "diagnose",
    "evaluate",
    "prompt_study",
    "report",
    "select",
    "train",
]
__version__ = metadata.version("oneshot-rlvr")


def __getattr__(name: str) -> Any:
    """The functions, imported when first used: torch takes seconds to load, and `oneshot --help` does not need it."""
    if name in __all__:
        from oneshot_rlvr.commands import api, judging_api

        return getattr(api if name in _RUNS else judging_api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
