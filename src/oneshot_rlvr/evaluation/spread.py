"""Sampling spread over a Ray cluster: a task for each checkpoint and suite, on whichever machine is free."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from oneshot_rlvr.errors import FOREIGN, OneshotError, first_line

PATIENCE = 10.0  # seconds for a cluster to answer


class RayPool:
    """What the sweep uses of a `ProcessPoolExecutor`, on the machines of a Ray cluster.

    `address` is the cluster's, `auto` for the one that this machine belongs to, or `local` for one that is begun here
    and ends with the pool. Every machine has this package and sees the model and the evaluation's folder. A task takes
    one GPU where `gpu` is asked for and the cluster has some, else one core.

    Raises:
        OneshotError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str, gpu: bool = False) -> None:
        try:
            import ray
        except ImportError:
            raise OneshotError("Ray is not installed", where="--ray", fix="pip install 'oneshot-rlvr[ray]'.") from None
        self.ray: Any = ray
        self.jobs: list[Any] = []
        self.mine = not ray.is_initialized()
        if self.mine:
            try:
                _reach(address)
                ray.init(address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
            except FOREIGN as error:
                raise OneshotError(
                    f"no Ray cluster there: {first_line(error)}", where=f"--ray {address}", fix="Give --ray local."
                ) from error
        gpus = ray.cluster_resources().get("GPU", 0) if gpu else 0
        self.takes = {"num_gpus": 1} if gpus else {"num_cpus": 1}

    def __enter__(self) -> RayPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.shutdown()

    def submit(self, function: Callable[..., None], *given: Any) -> Future[Any]:
        """Call the function on some machine.

        What it raises as a user's mistake is raised as one here.
        """
        job = self.ray.remote(_said).options(**self.takes).remote(function, *given)
        self.jobs.append(job)
        return job.future()

    def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        """End the tasks that are left, and the cluster if it was begun here."""
        if cancel_futures:
            for job in self.jobs:
                self.ray.cancel(job, force=True)
        if self.mine and self.ray.is_initialized():
            self.ray.shutdown()


def _reach(address: str) -> None:
    """Ray would try for minutes: a host that does not answer at once is none."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _said(function: Callable[..., None], *given: Any) -> str | None:
    """What went wrong: exceptions with arguments of their own do not travel."""
    try:
        function(*given)
    except OneshotError as error:
        return str(error)
    return None


def finished(job: Future[Any]) -> None:
    """Raises:
    OneshotError: the task's own, in its words.
    """
    if (said := job.result()) is not None:
        raise OneshotError(said)
