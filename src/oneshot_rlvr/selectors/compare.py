"""Compare path selectors: fitted on some problems' paths, judged on other problems', each measure of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.statistics import interval_over_seeds, paired_difference
from oneshot_rlvr.grading.features import mean
from oneshot_rlvr.selectors.base import SELECTORS, Selector, Training
from oneshot_rlvr.selectors.calibration import HEADLINE, Calibration, block_scores, calibration_of
from oneshot_rlvr.selectors.metrics import (
    Picks,
    auprc,
    auroc,
    auroc_within,
    balanced_accuracy,
    brier,
    expected_calibration_error,
    gap_closed,
    picks,
    reliability,
)
from oneshot_rlvr.selectors.paths import PathGroup
from oneshot_rlvr.selectors.teaching import taught
from oneshot_rlvr.selectors.votes import Majority, vote_shares

Row = dict[str, Any]
DEFAULT = (
    "random",
    "longest",
    "shortest",
    "logprob",
    "certainty",
    "majority",
    "vote(by='logprob')",
    "vote(by='certainty')",
    "probe(shots=1)",
    "probe(shots=16)",
    "probe",
    "probe(agreement=True, shots=1)",
    "probe(agreement=True)",
    "hidden(shots=1)",
    "hidden",
    "pairwise(shots=1)",
    "pairwise",
    "chooser(shots=1)",
    "chooser",
    "oracle",
)
LEVELS = ("hard", "middling", "easy")  # thirds of the problems by the share of right paths
Fitted = tuple[Selector, Calibration]


@dataclass(frozen=True)
class Judged:
    """A selector of one seed on the test paths: scores and probabilities by problem, picks and weighted votes by n.

    `fitted` has a selector a group: one for all, or each the one that did not see its problem.
    """

    fitted: Sequence[Fitted]
    scores: list[list[float]]
    chances: list[list[float]]
    best_of: dict[int, Picks]
    weighted: dict[int, Picks]


def compare(
    names: Sequence[str],
    test: Sequence[PathGroup],
    trainings: Sequence[Training],
    heard: Callable[[str], object] = lambda name: None,
) -> tuple[dict[str, Row], dict[str, list[Judged]]]:
    """Each selector's row of the table, and what it is made of; one training a seed.

    A training without groups leaves each problem out in turn: its paths are judged by what was fitted on the others.

    Raises:
        OneshotError: an unknown selector, too little to learn from, paths that lack what one reads, or problems that
            are both learned from and judged.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        SELECTORS.unit(name)
    _refuse_shared(test, [group for training in trainings for group in training.groups])
    judged: dict[str, list[Judged]] = {}
    for name in dict.fromkeys(("majority", "oracle", *names)):
        heard(name)
        judged[name] = [judge(fitted(name, test, training), test, training.seed) for training in trainings]
    return {name: _row(name, judged, test) for name in names}, judged


def fitted(name: str, test: Sequence[PathGroup], training: Training) -> list[Fitted]:
    """The selector, with its calibration, for each of the groups.

    Raises:
        OneshotError: as `compare`.
    """
    if training.groups:
        return [taught(name, training)] * len(test)
    unit = SELECTORS.unit(name)
    if unit.trait("trains"):
        raise OneshotError(
            "it trains a model, which is not done once a problem", where=f"selector {name}", fix="Give --train PATHS."
        )
    if not unit.trait("learns") and not unit.trait("inner"):  # one selector; only its calibration leaves a problem out
        selector: Selector = unit(training)
        scored = [(group, block_scores(selector, group, HEADLINE, training.seed)) for group in test]
        return [(selector, calibration_of([pair for pair in scored if _another(pair[0], one)])) for one in test]
    return [taught(name, replace(training, groups=[group for group in test if _another(group, one)])) for one in test]


def _another(group: PathGroup, one: PathGroup) -> bool:
    return group.problem.question != one.problem.question


def _refuse_shared(test: Sequence[PathGroup], train: Sequence[PathGroup]) -> None:
    seen = {group.problem.question for group in train}
    shared = [group.problem.id for group in test if group.problem.question in seen]
    if shared:
        raise OneshotError(
            f"{len(shared)} problems are learned from and judged, {shared[0][:40]!r} first",
            where="--train",
            fix="Give paths of other problems, or leave --train out.",
        )


def sizes(groups: Sequence[PathGroup]) -> list[int]:
    """The n of best-of-n: 1, 2, 4, ... up to the fewest paths that a problem has, at most 64.

    Raises:
        OneshotError: a problem has none.
    """
    fewest = min(len(group.paths) for group in groups)
    if not fewest:
        raise OneshotError("a problem has no path", where="paths", fix="Leave it out: its prompt left no room.")
    return [2**i for i in range(7) if 2**i <= fewest]


def judge(fits: Sequence[Fitted], groups: Sequence[PathGroup], seed: int) -> Judged:
    """Everything that is measured of one selector on some groups."""
    scores = [block_scores(s, group, HEADLINE, seed) for (s, _), group in zip(fits, groups, strict=True)]
    chances = [[c.probability(x) for x in own] for (_, c), own in zip(fits, scores, strict=True)]

    def scored(place: int, blocks_Bn: NDArray[np.int_]) -> NDArray[np.float64]:
        selector, group = fits[place][0], groups[place]
        if selector.pathwise:
            return np.array(scores[place])[blocks_Bn]
        if isinstance(selector, Majority):
            return vote_shares(group.classes_N[blocks_Bn], np.ones(blocks_Bn.shape))
        return np.array([selector.scores(group.problem, group.of(block).paths) for block in blocks_Bn.tolist()])

    def voting(place: int, blocks_Bn: NDArray[np.int_]) -> NDArray[np.float64]:
        return vote_shares(groups[place].classes_N[blocks_Bn], np.array(chances[place])[blocks_Bn])

    best_of = {n: picks(groups, n, seed, scored) for n in sizes(groups)}
    weighted = {n: picks(groups, n, seed, voting) for n in best_of} if fits[0][0].pathwise else {}
    return Judged(fits, scores, chances, best_of, weighted)


def _row(name: str, judged: Mapping[str, Sequence[Judged]], groups: Sequence[PathGroup]) -> Row:
    """A row of the table: means over seeds, in shares of 1."""
    own, headline = judged[name], min(HEADLINE, max(judged[name][0].best_of))
    right = np.concatenate([group.right_N for group in groups])
    usual, most = ([j.best_of[headline].right for j in judged[other]] for other in ("majority", "oracle"))
    rates = [j.best_of[headline].right for j in own]
    bins = [reliability(np.concatenate(j.chances), right) for j in own]

    def over(measure: Callable[[Judged], float | None]) -> float | None:
        values = [measure(j) for j in own]
        known = [value for value in values if value is not None]
        return mean(known) if len(known) == len(values) else None

    difference = paired_difference([np.mean(usual, 0).tolist()], [np.mean(rates, 0).tolist()])
    interval = interval_over_seeds([{"all": r} for r in rates], [{"all": u} for u in usual])
    tokens = headline * mean([mean([path.tokens for path in group.paths]) for group in groups])
    return {
        "auroc": over(lambda j: auroc(np.concatenate(j.scores).tolist(), right)),
        "auroc_within": over(lambda j: auroc_within(groups, j.scores)),
        "auprc": over(lambda j: auprc(np.concatenate(j.scores).tolist(), right)),
        "balanced_accuracy": over(lambda j: balanced_accuracy(np.concatenate(j.chances), right)),
        "ece": mean([expected_calibration_error(b) for b in bins]),
        "brier": over(lambda j: brier(np.concatenate(j.chances), right)),
        "best_of": {str(n): mean([mean(j.best_of[n].right) for j in own]) for n in own[0].best_of},
        "best_of_interval": list(interval_over_seeds([{"all": r} for r in rates])),
        "weighted": {str(n): mean([mean(j.weighted[n].right) for j in own]) for n in own[0].weighted},
        "gap_closed": gap_closed(mean([*map(mean, rates)]), mean([*map(mean, usual)]), mean([*map(mean, most)])),
        "n": headline,
        "over_majority": difference.value,
        "interval": list(interval),
        "p_value": difference.p_value,  # of these seeds' selectors: other problems, not other seeds
        "rescues": mean([mean(j.best_of[headline].rescued) for j in own]),
        "breaks": mean([mean(j.best_of[headline].broken) for j in own]),
        "ties": mean([mean(j.best_of[headline].tied) for j in own]),
        "tokens": {"sampled": tokens, "read": tokens if own[0].fitted[0][0].reads else 0.0},
        "by_level": _by_level(groups, np.mean(rates, 0).tolist()),
        "reliability": bins[0],
        "seeds": len(own),
    }


def _by_level(groups: Sequence[PathGroup], rates: Sequence[float]) -> Row:
    """Best-of-n of thirds of the problems, the hardest first; with too few problems, none."""
    order = sorted(range(len(groups)), key=lambda i: (groups[i].rate, i))
    thirds = np.array_split(order, len(LEVELS))
    if len(order) < len(LEVELS):
        return {}
    return {level: mean([rates[i] for i in third]) for level, third in zip(LEVELS, thirds, strict=True)}
