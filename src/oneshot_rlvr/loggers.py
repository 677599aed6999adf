"""Live metrics to TensorBoard, Weights & Biases and trackio, when asked for. `metrics.jsonl` is always written."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError

Log = Callable[[int, dict[str, float]], None]


PROJECT = "oneshot-rlvr"
NEEDS = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "trackio": "trackio"}


def check_loggers(config: Config) -> None:
    """Find out before a run starts that a tracker is missing.

    Raises:
        OneshotError: a tracker that is asked for is not installed.
    """
    for name in config.run.loggers:
        _import(name, NEEDS[name])


def _import(extra: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OneshotError(
            f"{extra} is not installed", where="run.loggers", fix=f"pip install 'oneshot-rlvr[{extra}]'."
        ) from error


def _tensorboard(config: Config, folder: Path, done: int, stack: ExitStack) -> Log:
    writer = _import("tensorboard", NEEDS["tensorboard"]).SummaryWriter(
        str(folder / "tensorboard"), purge_step=done + 1
    )
    stack.callback(writer.close)

    def log(step: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return log


def _wandb(config: Config, folder: Path, done: int, stack: ExitStack) -> Log:
    module = _import("wandb", NEEDS["wandb"])
    identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]  # a resumed run goes on under its id
    module.init(project=PROJECT, name=folder.name, id=identity, resume="allow", config=config.model_dump(mode="json"))
    stack.callback(module.finish)
    return lambda step, metrics: module.log(metrics, step=step)


def _trackio(config: Config, folder: Path, done: int, stack: ExitStack) -> Log:
    module = _import("trackio", NEEDS["trackio"])
    module.init(project=PROJECT, name=folder.name, resume="allow", config=config.model_dump(mode="json"))
    stack.callback(module.finish)
    return lambda step, metrics: module.log(metrics, step=step)


LOGGERS = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}


@contextmanager
def open_loggers(config: Config, folder: Path, done: int) -> Iterator[Log]:
    """A function that sends one step's metrics to every configured tracker; `done` steps were sent before."""
    with ExitStack() as stack:
        logs = [LOGGERS[name](config, folder, done, stack) for name in config.run.loggers]

        def log(step: int, metrics: dict[str, float]) -> None:
            for each in logs:
                each(step, metrics)

        yield log
