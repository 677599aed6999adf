"""`oneshot recipes`, `methods`, `rewards` and `models`: what there is to train, and to train with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from oneshot_rlvr.commands.terminal import plain, show
from oneshot_rlvr.config import Registry


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe's YAML, to start from.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All recipes as JSON.")] = False,
) -> None:
    """List the recipes, or print one."""
    from oneshot_rlvr.config.resolve import about, layers_of, names, recipe_text

    if as_json:
        print(json.dumps([described(recipe) for recipe in names("recipes")], indent=1))
        return

    if name is not None:
        layers_of("recipes", name)  # refuses an unknown one
        print(recipe_text(name) if name in names("recipes") else Path(name).read_text(encoding="utf-8"), end="")
        return
    table = Table()
    table.add_column("recipe", no_wrap=True)
    table.add_column("")
    for recipe in names("recipes"):
        table.add_row(recipe, plain(about(recipe)))
    show(table)


def described(name: str) -> dict[str, Any]:
    """A recipe in a few words: its algorithm, reward, data, and the row of the paper that it stands for."""
    from oneshot_rlvr.config.resolve import about, layers_of, resolve
    from oneshot_rlvr.config.suites import paper

    section = resolve(name)[0].algorithm
    problems = [
        layer.values["data.problems"] for layer in layers_of("recipes", name) if "data.problems" in layer.values
    ]
    row = paper().get(name)
    collected = "" if section.collector == "once" else f"{section.collector}: "
    return {
        "name": name,
        "algorithm": f"{collected}{section.advantage} x {section.surrogate} x {section.aggregation}",
        "reward": section.reward,
        "data": problems[-1] if problems else "pool",
        "paper": None if row is None else row.row,
        "about": about(name),
    }


def methods() -> None:
    """List what a recipe is put together from: collectors, rewards, advantages, surrogates and the rest."""
    from oneshot_rlvr.commands.registries import REGISTRIES

    for registry in REGISTRIES:
        _print_registry(registry)


def rewards() -> None:
    """List the rewards; a sum of them is one too, and so is your own `module:function`."""
    import oneshot_rlvr.selectors  # noqa: F401 - their reward makes itself known
    from oneshot_rlvr.grading import REWARDS

    _print_registry(REWARDS)
    print("For example: --reward 'accuracy + 0.5*overlong(cache=500)', or --reward my_rewards:short (examples/).")


def models() -> None:
    """List the models that have a profile; any Hugging Face folder or owner/name is a model too."""
    from oneshot_rlvr.config.known import MODEL_FOLDERS
    from oneshot_rlvr.config.resolve import about, names

    table = Table()
    table.add_column("--model", no_wrap=True)
    table.add_column("")
    table.add_column("weights")
    for name in names("profiles"):
        where = "in the package" if name in MODEL_FOLDERS else "Hugging Face hub"
        table.add_row(name, plain(about(name, "profiles")), where)
    show(table)
    print("Or a folder, or owner/name on the hub: `oneshot config --model FOLDER` shows what it is run with.")


def _print_registry(registry: Registry) -> None:
    table = Table(title=f"{registry.plural} ({registry.where})", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("options")
    table.add_column("")
    for row in registry.table():
        table.add_row(*(plain(cell) for cell in row))
    show(table)
