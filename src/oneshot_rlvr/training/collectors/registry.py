"""Where collectors are found by name.

A collector may have a trait `check`, a function `(source, **options)` that is called before a run starts and raises for
problems that the collector would trip over later; and `samples=False` if it asks for no rollouts.
"""

from __future__ import annotations

from oneshot_rlvr.config import Registry

COLLECTORS = Registry("collector", "algorithm.collector")
