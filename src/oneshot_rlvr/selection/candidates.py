"""What a selector chooses from: problems, their history, or both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.selection.history import History, Visit
from oneshot_rlvr.selection.probes import Probe

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")  # a place in the pool


def _asked_in(prompts: Iterable[str], pool: Sequence[Problem]) -> list[int]:
    """The place of the longest question that is in each prompt, -1 where none is."""
    longest_first = sorted(range(len(pool)), key=lambda place: -len(pool[place].question))
    return [next((place for place in longest_first if pool[place].question in text), -1) for text in prompts]


@lru_cache(maxsize=2**14)
def _share(accuracy: float) -> Fraction:
    return Fraction(accuracy).limit_denominator(4096)


@dataclass(frozen=True)
class Candidates:
    """P candidates in the history's order, or without a history in the pool's. `indices` are places in the pool.

    `probes` are of those that were probed, by id.
    """

    ids: tuple[str, ...]
    indices: tuple[int, ...]
    visits: tuple[tuple[Visit, ...], ...] | None = None
    problems: tuple[Problem, ...] | None = None
    probes: Mapping[str, Probe] | None = None

    @classmethod
    def of(cls, pool: Sequence[Problem] | None, history: History | None, where: str | Path = "") -> Candidates:
        """Join a pool and a history, whose keys are all the pool's ids, as the released one's all its indices, or as a
        rollout dump's all prompts, each with the question of another problem in it.

        Raises:
            OneshotError: neither is given, or the history has a problem that the pool lacks; `where` names it.
        """
        if history is None:
            if pool is None:
                raise OneshotError("nothing to select from", where="oneshot select", fix="Give a pool, or --history.")
            return cls(tuple(p.id for p in pool), tuple(range(len(pool))), None, tuple(pool))
        visits = tuple(tuple(seen) for seen in history.values())
        numbers = [int(key) if _INDEX.fullmatch(key) else -1 for key in history]
        if pool is None:
            indices = range(len(history)) if -1 in numbers else numbers
            return cls(tuple(history), tuple(indices), visits)
        places = {problem.id: place for place, problem in enumerate(pool)}
        found = [places.get(key, -1) for key in history]
        if -1 in found and all(0 <= number < len(pool) for number in numbers):
            found = numbers
        if -1 in found and len(set(asking := _asked_in(history, pool)) - {-1}) == len(history):
            found = asking
        if -1 in found:
            key = list(history)[found.index(-1)]
            raise OneshotError(
                f"the pool has no problem {key[:80]!r}", where=where, fix="Give the pool that this history is of."
            )
        return cls(tuple(pool[i].id for i in found), tuple(found), visits, tuple(pool[i] for i in found))

    def __len__(self) -> int:
        return len(self.ids)

    def curves(self) -> list[list[Fraction]]:
        """Each problem's accuracies, exactly: a float is read as the share of rollouts that it stands for.

        Raises:
            OneshotError: there is no history.
        """
        return [[_share(visit.accuracy) for visit in seen] for seen in self.history()]

    def history(self) -> tuple[tuple[Visit, ...], ...]:
        """Each problem's visits. Raises as `curves` does."""
        if self.visits is None:
            raise OneshotError(
                "this selector reads an accuracy history",
                where="--by",
                fix="Give --history, a run on the pool or a JSON file; or --by length, level, random or diverse.",
            )
        return self.visits

    def probed(self) -> list[Probe | None]:
        """Each problem's probe, where it has one.

        Raises:
            OneshotError: there are none.
        """
        found = [(self.probes or {}).get(identifier) for identifier in self.ids]
        if not any(found):
            raise OneshotError(
                "this selector reads probes", where="--by", fix="Give --probes FILE, made by `oneshot select probe`."
            )
        return found

    def texts(self) -> tuple[Problem, ...]:
        """The problems themselves.

        Raises:
            OneshotError: only a history was given.
        """
        if self.problems is None:
            raise OneshotError(
                "this selector reads the problems", where="--by", fix="Give the pool too: `oneshot select POOL`."
            )
        return self.problems
