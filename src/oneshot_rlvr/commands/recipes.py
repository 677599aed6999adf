"""`oneshot recipes` and `oneshot methods`: what there is to train with."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from oneshot_rlvr.commands.terminal import plain


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe's YAML, to start from.")] = None,
) -> None:
    """List the recipes, or print one."""
    from oneshot_rlvr.config.resolve import layers_of, names, recipe_text, resolve

    if name is not None:
        layers_of("recipes", name)  # refuses an unknown one
        print(recipe_text(name), end="")
        return
    table = Table("recipe", "collector", "advantage", "surrogate", "aggregation", "reward")
    for recipe in names("recipes"):
        section = resolve(recipe)[0].algorithm
        units = (section.collector, section.advantage, section.surrogate, section.aggregation, section.reward)
        table.add_row(recipe, *(plain(unit) for unit in units))
    Console().print(table)


def methods() -> None:
    """List what a recipe is put together from: collectors, rewards, advantages, surrogates and the rest."""
    from oneshot_rlvr.commands.registries import REGISTRIES

    for registry in REGISTRIES:
        table = Table("name", "options", "", title=f"{registry.kind}s ({registry.where})", title_justify="left")
        for row in registry.table():
            table.add_row(*(plain(cell) for cell in row))
        Console().print(table)
