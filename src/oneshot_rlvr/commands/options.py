"""Options that several commands have: each is written once."""

from __future__ import annotations

from typing import Annotated

import typer

PoolArgument = Annotated[str, typer.Argument(help="A problem file or named set.")]
ModelName = Annotated[str, typer.Option("--model", help="Model profile, folder, or hub name.")]
RecipeName = Annotated[str, typer.Option("--recipe", help="How each is trained.")]
Seeds = Annotated[int, typer.Option("--seeds", min=1, max=100, help="Training seeds 0, 1, ...")]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Of training, instead of the recipe's.")]
Suites = Annotated[str | None, typer.Option("--suites", help="Problem sets to evaluate on, with commas.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first problems of each set.")]
Samples = Annotated[int | None, typer.Option("--samples", min=1, help="k of avg@k.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; by default one a core for small models.")
]


def with_commas(text: str | None) -> tuple[str, ...]:
    """The words of an option that takes several; none of None."""
    return tuple(text.split(",")) if text else ()
