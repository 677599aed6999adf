"""`oneshot recipes` and `oneshot methods`: what there is to train with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from oneshot_rlvr.commands.terminal import plain


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe's YAML, to start from.")] = None,
) -> None:
    """List the recipes, or print one."""
    from oneshot_rlvr.config.resolve import about, layers_of, names, recipe_text

    if name is not None:
        layers_of("recipes", name)  # refuses an unknown one
        print(recipe_text(name) if name in names("recipes") else Path(name).read_text(encoding="utf-8"), end="")
        return
    table = Table()
    table.add_column("recipe", no_wrap=True)
    table.add_column("")
    for recipe in names("recipes"):
        table.add_row(recipe, plain(about(recipe)))
    Console().print(table)


def methods() -> None:
    """List what a recipe is put together from: collectors, rewards, advantages, surrogates and the rest."""
    from oneshot_rlvr.commands.registries import REGISTRIES

    for registry in REGISTRIES:
        table = Table(title=f"{registry.plural} ({registry.where})", title_justify="left")
        table.add_column("name", no_wrap=True)
        table.add_column("options")
        table.add_column("")
        for row in registry.table():
            table.add_row(*(plain(cell) for cell in row))
        Console().print(table)
