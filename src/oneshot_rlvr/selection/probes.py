"""Probes: what a few steps' worth of rollouts and gradients tell of a problem before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import read_json, write_json

LARGEST = 1e300  # of a feature; NaN is not below it
FIX = "Make one with `oneshot select probe`."


@dataclass(frozen=True)
class Probe:
    """Of the untrained model's responses to a problem, and of a short, fast burst of training on it.

    `success` is the share of correct ones, `varied` that of groups whose rewards differ, `entropy` (nats) and
    `distinct` are of the answers, `tokens` is the mean length, `faithful` the share whose answer is the last number
    before it. `shift` is the distance between the last hidden states of a greedy response's last token and the
    prompt's. `gradient` is the cosine of the first step's gradient with the pool's mean gradient, `norm` its length.
    After the burst: `own`, the points gained on the problem itself, and `moved`, those on held-out problems. `cost` is
    the share of a whole run's rollouts that the probe has sampled.
    """

    success: float
    varied: float
    entropy: float
    distinct: float
    tokens: float
    faithful: float
    shift: float
    gradient: float
    norm: float
    own: float
    moved: float
    cost: float


Probes = dict[str, Probe]  # by the problem's id


@dataclass(frozen=True)
class ProbeFile:
    """Probes by id, of one model and recipe, and what the problems ask."""

    model: str
    recipe: str
    probes: Probes
    questions: dict[str, str]


# What a forecast reads: not what is measured in one model's own units (of hidden states, of weights).
FEATURES = tuple(field.name for field in fields(Probe) if field.name not in ("cost", "shift", "norm"))


def write_probes(path: Path, file: ProbeFile) -> None:
    """A file of probes that `read_probes` reads."""
    write_json(path, asdict(file))


def read_probes(path: str | Path) -> ProbeFile:
    """The probes in a file, and of what they are.

    Raises:
        OneshotError: it is no file of probes; the problem at fault is named.
    """
    values = read_json(Path(path), FIX)
    known: dict[str, Any] = values if isinstance(values, dict) else {}
    model, recipe, rows = (known.get(key) for key in ("model", "recipe", "probes"))
    if not (isinstance(model, str) and isinstance(recipe, str) and isinstance(rows, dict) and rows):
        raise OneshotError("not a file of probes", where=path, fix=FIX)
    wanted = {field.name for field in fields(Probe)}
    for key, row in rows.items():
        if not isinstance(row, dict) or set(row) != wanted or not all(_is_number(value) for value in row.values()):
            raise OneshotError("not a probe", where=f"{path}, problem {key[:80]!r}", fix=FIX)
    questions = known.get("questions")
    if not isinstance(questions, dict) or not all(isinstance(questions.get(key), str) for key in rows):
        raise OneshotError("it does not say what its problems ask", where=path, fix=FIX)
    return ProbeFile(model, recipe, {key: Probe(**row) for key, row in rows.items()}, questions)


def table_of(probes: Iterable[Probe]) -> list[list[float]]:
    """The probes' features as rows [P, F], in the order of `FEATURES`."""
    return [[float(getattr(probe, name)) for name in FEATURES] for probe in probes]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
