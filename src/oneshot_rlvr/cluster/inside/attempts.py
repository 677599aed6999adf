"""How the rollouts of a group agree on its next attempt: those of one group run as coroutines of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field


@dataclass
class Attempt:
    """One attempt of a group of `size` rollouts: who was right, known once all have said so."""

    size: int
    right: list[bool] = field(default_factory=list)
    broken: BaseException | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def fail(self, error: BaseException) -> None:
        """A rollout will not come: let the others know."""
        self.broken = error
        self.done.set()

    async def failed(self, right: Awaitable[bool]) -> bool:
        """Whether nobody was right; waits for the others.

        Raises what `right` raises, in every rollout of the group: none waits for one that will not come.
        """
        try:
            self.right.append(await right)
        except BaseException as error:
            self.fail(error)
            raise
        if len(self.right) == self.size:
            self.done.set()
        await self.done.wait()
        if self.broken is not None:
            raise RuntimeError("another rollout of the group failed") from self.broken
        return not any(self.right)
