"""`oneshot push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    source: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="Of a run: what validation chose.")],
    repository: Annotated[str | None, typer.Argument(help="OWNER/NAME on the Hugging Face hub.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the folder to upload is made.")] = None,
    private: Annotated[bool, typer.Option(help="A repository that only you can see.")] = False,
) -> None:
    """Make a model folder with a card of its scores, and upload it; without a repository, only make it."""
    from oneshot_rlvr.evaluation import card

    one = card.chosen(source)
    folder = card.prepare_upload(one, out)
    print(f"Model and card: {folder}")
    if repository is None:
        print("Not uploaded: no repository was named.")
        return
    print(f"Uploaded: {card.push(folder, repository, private)}")
