"""Every registry of units, for `oneshot methods` and the documentation's tables."""

from __future__ import annotations

from oneshot_rlvr.algorithms import ADVANTAGES, AGGREGATIONS, KL_ESTIMATORS, PENALTIES, SURROGATES
from oneshot_rlvr.config import Registry, names
from oneshot_rlvr.config.resolve import about
from oneshot_rlvr.grading import REWARDS
from oneshot_rlvr.rollout import SAMPLERS
from oneshot_rlvr.selection import SELECTORS
from oneshot_rlvr.selectors import SELECTORS as PATH_SELECTORS
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
    SELECTORS,
    PATH_SELECTORS,
)


def markdown() -> str:
    """The recipes and all registries as tables for docs/methods.md."""
    rows = [f"| `{name}` | {about(name)} |" for name in names("recipes")]
    parts = ["\n".join(["## Recipes", "", "| name | |", "|---|---|", *rows])]
    for registry in REGISTRIES:
        lines = [
            f"## {registry.plural[0].upper()}{registry.plural[1:]}: `{registry.where}`",
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
