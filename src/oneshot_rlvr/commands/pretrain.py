"""`oneshot pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oneshot_rlvr.commands.terminal import Quiet
from oneshot_rlvr.errors import OneshotError


def pretrain(
    preset: Annotated[str, typer.Option(help="organism, control or tiny.")] = "organism",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="By default runs/pretrained-PRESET.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Fewer steps, for a try.")] = None,
    device: str = "cpu",
    quiet: Quiet = False,
) -> None:
    """Make the organism again from its seed, with its model card."""
    from oneshot_rlvr.commands.organism_card import write_card
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.errors import nearest
    from oneshot_rlvr.organism.pretrain import PRESETS
    from oneshot_rlvr.organism.pretrain import pretrain as make
    from oneshot_rlvr.policy.model import checked_device
    from oneshot_rlvr.runs.environment import commit

    if preset not in PRESETS:
        raise OneshotError(f"unknown preset {preset!r}", fix=nearest(preset, list(PRESETS)))
    folder = out or Path("runs") / f"pretrained-{preset}"
    device = checked_device(device)
    with Reporter(quiet).task("Pretraining", steps or PRESETS[preset].steps) as task:
        make(
            folder,
            preset,
            seed,
            steps,
            device,
            commit() or "unknown",
            lambda step, total, loss: task.update(step, f"loss {loss:.4f}", total),
        )
    write_card(folder) if steps is None else write_card(folder, problems=4, pool_samples=2)  # a try
    print(f"Model and card: {folder}")
