"""Where collectors are found by name."""

from __future__ import annotations

from oneshot_rlvr.config import Registry

COLLECTORS = Registry("collector", "algorithm.collector")
