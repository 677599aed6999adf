"""Every registry of units, for `oneshot methods` and the documentation's tables."""

from __future__ import annotations

from oneshot_rlvr.algorithms import ADVANTAGES, AGGREGATIONS, KL_ESTIMATORS, PENALTIES, SURROGATES
from oneshot_rlvr.config import Registry
from oneshot_rlvr.grading import REWARDS
from oneshot_rlvr.rollout import SAMPLERS
from oneshot_rlvr.training import COLLECTORS

REGISTRIES: tuple[Registry, ...] = (
    COLLECTORS,
    REWARDS,
    ADVANTAGES,
    SURROGATES,
    AGGREGATIONS,
    PENALTIES,
    KL_ESTIMATORS,
    SAMPLERS,
)


def markdown() -> str:
    """All of them as tables for docs/methods.md."""
    parts = []
    for registry in REGISTRIES:
        lines = [
            f"## {registry.kind[0].upper()}{registry.kind[1:]}s: `{registry.where}`",
            "",
            "| name | options | |",
            "|---|---|---|",
        ]
        for name, options, says in registry.table():
            shown = f"`{options}`" if options else ""
            lines.append(f"| `{name}` | {shown} | {says.replace('|', chr(92) + '|')} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":  # python -m oneshot_rlvr.commands.registries > ...
    print(markdown(), end="")
