"""Fit a selector and calibrate it, both on the paths that it may see and on no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from oneshot_rlvr.config import Unit
from oneshot_rlvr.selectors.base import SELECTORS, Selector, Training
from oneshot_rlvr.selectors.calibration import HEADLINE, Calibration, block_scores, calibration_of
from oneshot_rlvr.selectors.paths import PathGroup

FOLDS = 3
Scored = tuple[PathGroup, list[float]]


def taught(name: str, training: Training) -> tuple[Selector, Calibration]:
    """The selector that a text names, fitted where it learns, and its calibration.

    A selector that learns is calibrated on the same problems' paths, each scored by a fit that has not seen it: by
    problem, or by path where there is one problem alone. A verifier, which is costly to train again, is calibrated on
    its training problems' paths as they are; one that learns nothing on all of the training's.

    Raises:
        OneshotError: an unknown name or option, or too little to learn from.
    """
    unit = SELECTORS.unit(name)
    selector = unit(training)
    groups = seen(unit, training)
    scored: list[Scored] | None = None
    if unit.trait("learns") and not unit.trait("trains"):
        scored = _by_problem(unit, groups, training.seed) if len(groups) > 1 else _by_path(unit, groups, training.seed)
    if scored is None:
        scored = [(group, block_scores(selector, group, HEADLINE, training.seed)) for group in groups]
    return selector, calibration_of(scored)


def seen(unit: Unit, training: Training) -> list[PathGroup]:
    """The groups whose verdicts a selector has seen: of one that learns, its shots; of one that does not, all."""
    if inner := unit.trait("inner"):
        return seen(SELECTORS.unit(inner), training)
    if unit.trait("learns"):
        return training.chosen(unit.options.get("shots"))
    return list(training.groups)


def _again(unit: Unit, groups: Sequence[PathGroup], seed: int) -> Selector:
    """The same fit on other groups, all of them."""
    options = {key: value for key, value in unit.options.items() if key != "shots"}
    return replace(unit, options=options)(Training(groups, seed))


def _by_problem(unit: Unit, groups: Sequence[PathGroup], seed: int) -> list[Scored]:
    order = np.random.default_rng([seed, 4]).permutation(len(groups)).tolist()
    found: list[Scored] = []
    for fold in range(min(FOLDS, len(groups))):
        held = set(order[fold :: min(FOLDS, len(groups))])
        selector = _again(unit, [group for place, group in enumerate(groups) if place not in held], seed)
        found += [(groups[place], block_scores(selector, groups[place], HEADLINE, seed)) for place in sorted(held)]
    return found


def _by_path(unit: Unit, groups: Sequence[PathGroup], seed: int) -> list[Scored] | None:
    """Of one problem; None where it has too few paths of one kind to hold any out."""
    (group,) = groups
    draw = np.random.default_rng([seed, 5])
    kinds = [draw.permutation(np.flatnonzero(group.right_N == kind)).tolist() for kind in (True, False)]
    folds = min(FOLDS, *map(len, kinds))
    if folds < 2:
        return None
    found: list[Scored] = []
    for fold in range(folds):
        held = sorted(place for kind in kinds for place in kind[fold::folds])
        rest = group.of([place for place in range(len(group.paths)) if place not in held])
        selector, part = _again(unit, [rest], seed), group.of(held)
        found.append((part, selector.scores(part.problem, part.paths)))
    return found
