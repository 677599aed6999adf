"""A linear score of a path's features or hidden state: what every fitted probe is, however it was fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oneshot_rlvr.problems import Problem
from oneshot_rlvr.selectors.base import refuse_without
from oneshot_rlvr.selectors.features import OF_GROUP, features, names_of
from oneshot_rlvr.selectors.paths import OF_READING, PathGroup, ReasoningPath

View = Literal["features", "hidden"]


@dataclass(frozen=True)
class Linear:
    """score = weights . (x - mean) / scale + bias, x being features (by name) or a hidden state (no names)."""

    names: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float = 0.0

    @property
    def pathwise(self) -> bool:
        """See `Selector`."""
        return not any(name in OF_GROUP for name in self.names)

    @property
    def reads(self) -> bool:
        """See `Selector`."""
        return not self.names or any(name in (*OF_READING, OF_GROUP[2]) for name in self.names)

    def scores(self, problem: Problem, paths: Sequence[ReasoningPath]) -> list[float]:
        """See `Selector`.

        Raises:
            OneshotError: the paths lack what it reads.
        """
        return self.of(table(self.names, PathGroup(problem, paths))).tolist()

    def of(self, x_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of rows of features, or of states."""
        return (x_NF - self.mean) / self.scale @ self.weights + self.bias

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        arrays = {key: [float(v) for v in getattr(self, key)] for key in ("mean", "scale", "weights")}
        return {"names": list(self.names), **arrays, "bias": self.bias}

    @staticmethod
    def from_json(values: dict[str, Any]) -> Linear:
        """Raises:
        KeyError, TypeError, ValueError: it is not what `to_json` wrote.
        """
        arrays = [np.array(values[key], dtype=float) for key in ("mean", "scale", "weights")]
        names = tuple(values["names"])
        if len({a.shape for a in arrays}) > 1 or arrays[0].ndim != 1 or len(names) not in (0, len(arrays[0])):
            raise ValueError("its lengths differ")
        if not all(np.isfinite(a).all() for a in arrays):
            raise ValueError("its weights are not finite")
        return Linear(names, *arrays, bias=float(values["bias"]))


def table(names: Sequence[str], group: PathGroup) -> NDArray[np.float64]:
    """What a linear selector sees of a group's paths, [N, F]: the named features, or without names their states."""
    if not names:
        refuse_without("states", group.paths, "on hidden states")
        return np.array([path.state for path in group.paths], dtype=float).reshape(len(group.paths), -1)
    if any(name in (*OF_READING, OF_GROUP[2]) for name in names):
        refuse_without("model", group.paths, "on a model's reading")
    return features(group.paths, names, group)


def tables(
    groups: Sequence[PathGroup], view: View, agreement: bool = False
) -> tuple[tuple[str, ...], list[NDArray[np.float64]], NDArray[np.float64], NDArray[np.float64]]:
    """(names, standardised tables [N, F] a group, mean [F], scale [F]) of what is learned from."""
    names = names_of(groups, agreement) if view == "features" else ()
    found = [table(names, group) for group in groups]
    everything = np.concatenate(found)
    mean, scale = everything.mean(0), everything.std(0)
    scale = np.where(scale < 1e-9, 1.0, scale)  # what never differs says nothing: its weight stays 0
    return names, [(x_NF - mean) / scale for x_NF in found], mean, scale
