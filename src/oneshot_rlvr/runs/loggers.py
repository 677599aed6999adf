"""Live metrics to TensorBoard, Weights & Biases and trackio, when asked for. `metrics.jsonl` is always written."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError, nearest

Log = Callable[[int, dict[str, float]], None]


PROJECT = "oneshot-rlvr"
WITHOUT_LOGIN = ("offline", "disabled", "dryrun")  # modes of W&B that reach no server
NEEDS = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "trackio": "trackio"}


@dataclass(frozen=True)
class Target:
    """Where metrics go: a folder, the name under which trackers show them, what they are about, how far it is done.

    What has the same `identity` goes on in the same place.
    """

    folder: Path
    name: str
    identity: str
    record: dict[str, Any]
    done: int = 0


def check_loggers(names: Sequence[str]) -> None:
    """Find out before long work starts that a tracker is missing.

    Raises:
        OneshotError: a tracker that is asked for is unknown, not installed, or not logged in.
    """
    for name in names:
        if name not in NEEDS:
            raise OneshotError(f"unknown tracker {name!r}", fix=nearest(name, list(NEEDS)))
        module = _import(name, NEEDS[name])
        if name == "wandb" and os.environ.get("WANDB_MODE") not in WITHOUT_LOGIN and not module.api.api_key:
            raise OneshotError(
                "Weights & Biases knows no login here",
                where="wandb",
                fix="Run `wandb login`, or set WANDB_MODE=offline.",
            )


def _import(extra: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OneshotError(f"{extra} is not installed", fix=f"pip install 'oneshot-rlvr[{extra}]'.") from error


def _tensorboard(target: Target, stack: ExitStack) -> Log:
    writer = _import("tensorboard", NEEDS["tensorboard"]).SummaryWriter(
        str(target.folder / "tensorboard"), purge_step=target.done + 1
    )
    stack.callback(writer.close)

    def log(step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return log


def _wandb(target: Target, stack: ExitStack) -> Log:
    module = _import("wandb", NEEDS["wandb"])
    identity = hashlib.sha256(target.identity.encode()).hexdigest()[:16]
    module.init(project=PROJECT, name=target.name, id=identity, resume="allow", config=target.record)
    stack.callback(module.finish)
    return lambda step, metrics: module.log(metrics, step=step)


def _trackio(target: Target, stack: ExitStack) -> Log:
    module = _import("trackio", NEEDS["trackio"])
    module.init(project=PROJECT, name=target.name, resume="allow", config=target.record)
    stack.callback(module.finish)
    return lambda step, metrics: module.log(metrics, step=step)


LOGGERS = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}


@contextmanager
def open_loggers(names: Sequence[str], target: Target) -> Iterator[Log]:
    """A function that sends one step's metrics to every named tracker."""
    with ExitStack() as stack:
        logs = [LOGGERS[name](target, stack) for name in names]

        def log(step: int, metrics: dict[str, float]) -> None:
            for each in logs:
                each(step, metrics)

        yield log
