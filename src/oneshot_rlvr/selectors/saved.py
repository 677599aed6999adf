"""A fitted selector as a folder that others can be scored with: `selector.json`, and beside it a verifier's model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from oneshot_rlvr.config import ModelSection
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.sealing import read_record, write_record
from oneshot_rlvr.selectors.base import SELECTORS, Selector, Training, fit
from oneshot_rlvr.selectors.calibration import Calibration
from oneshot_rlvr.selectors.linear import Linear
from oneshot_rlvr.selectors.verifier import Verifier
from oneshot_rlvr.selectors.votes import WeightedVote

FILE, FIX = "selector.json", "Make one with `oneshot selector train`."


@dataclass(frozen=True)
class Saved:
    """A selector with its calibration; `name` is what it was asked for as, `reader` the model that reads paths for it.

    `template` is the one that problems are asked with, `trained_on` says what it has seen.
    """

    name: str
    selector: Selector
    calibration: Calibration
    reader: ModelSection | None
    template: str
    trained_on: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Keep it.

        Raises:
            OneshotError: it would not be the same when read: the oracle, or a learned selector that is not ours.
        """
        fitted = _to_json(self.selector)
        unit = SELECTORS.unit(self.name)
        if unit.name == "oracle" or (not fitted and (":" in unit.name or unit.trait("learns"))):
            raise OneshotError("this selector cannot be kept", where=self.name, fix="Compare it, or train another.")
        record = {
            "selector": self.name,
            "fitted": fitted,
            "calibration": dataclasses.asdict(self.calibration),
            "reader": None if self.reader is None else self.reader.model_dump(mode="json"),
            "template": self.template,
            "trained_on": self.trained_on,
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder / FILE, record)


def read_selector(folder: str | Path, seed: int = 0) -> Saved:
    """What `Saved.write` wrote.

    Raises:
        OneshotError: there is none, or it is damaged.
    """
    path = Path(folder) / FILE
    record = read_record(path, FIX)
    try:
        reader = None if record["reader"] is None else ModelSection(**record["reader"])
        selector = _of_json(record["selector"], record["fitted"], seed)
        calibration = Calibration(**{key: float(value) for key, value in record["calibration"].items()})
        return Saved(record["selector"], selector, calibration, reader, record["template"], record["trained_on"])
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError):
        raise OneshotError("not a selector that was kept", where=path, fix=FIX) from None


def _to_json(selector: Selector) -> dict[str, Any]:
    """What a selector has learned; nothing of one that learns nothing."""
    if isinstance(selector, Linear):
        return {"linear": selector.to_json()}
    if isinstance(selector, Verifier):
        section = selector.section.model_dump(mode="json")
        return {"verifier": {"model": section, "template": selector.template, "scale": selector.scale}}
    if isinstance(selector, WeightedVote):
        return {"vote": {"by": _to_json(selector.by), "calibration": dataclasses.asdict(selector.calibration)}}
    return {}


def _of_json(name: str, values: dict[str, Any], seed: int) -> Selector:
    if "linear" in values:
        return Linear.from_json(values["linear"])
    if "verifier" in values:
        found = values["verifier"]
        return Verifier(ModelSection(**found["model"]), found["template"], found["scale"])
    if "vote" in values:
        inner = SELECTORS.unit(name).trait("inner")
        return WeightedVote(_of_json(inner, values["vote"]["by"], seed), Calibration(**values["vote"]["calibration"]))
    return fit(name, Training(seed=seed))
