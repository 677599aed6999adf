"""The comparison of path selectors: its table, and why each chose so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from oneshot_rlvr.commands.judging import Judging, trainings
from oneshot_rlvr.files import write_json
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.reporting.judging import write_comparison
from oneshot_rlvr.runs.environment import environment
from oneshot_rlvr.selectors import PathGroup, ReasoningPath, Selector
from oneshot_rlvr.selectors.compare import DEFAULT, Judged, compare
from oneshot_rlvr.selectors.evidence import Belief, beliefs
from oneshot_rlvr.selectors.linear import Linear
from oneshot_rlvr.selectors.measure import Reader

Row = dict[str, Any]
SHOWN = 3  # paths from either end
VERIFIERS = ("verifier(shots=1)", "verifier", "verifier(reward='brier', shots=1)", "verifier(reward='brier')")
WEIGHTS = 8  # of a probe, the largest


def default_selectors(test: Sequence[PathGroup], train: Sequence[PathGroup], learns: bool) -> list[str]:
    """All that these paths allow: what reads them needs a reading, and a verifier a model to train."""
    paths = [path for group in (*test, *train) for path in group.paths]
    lacking = set()
    if not all(path.measured for path in paths):
        lacking |= {"logprob", "certainty"}
    if not all(path.state is not None for path in paths):
        lacking |= {"hidden"}
    given = ("given",) if all(path.given is not None for path in paths) else ()
    names = [*DEFAULT[:-1], *given, *(VERIFIERS if learns and train else ()), DEFAULT[-1]]
    return [name for name in names if not any(word in name for word in lacking)]


def run_comparison(
    out: Path,
    judging: Judging,
    names: Sequence[str],
    test: Sequence[PathGroup],
    train: Sequence[PathGroup],
    seeds: int,
    heard: Callable[[str], object],
) -> dict[str, Row]:
    """`comparison.json`, `explained.json` (why each chose so), `about.json` and the page; returns the table."""
    rows, judged = compare(names, test, trainings(train, range(seeds), judging, out), heard)
    write_json(out / "comparison.json", rows)
    reader = judging.reader() if judging.model else None
    explained = {name: explain(judged[name][0], test, reader) for name in names}
    write_json(out / "explained.json", explained)
    write_json(out / "about.json", environment("cpu", 1))
    write_comparison(out / "comparison.html", rows, explained)
    return rows


def explain(judged: Judged, groups: Sequence[PathGroup], reader: Reader | None) -> Row:
    """A probe's largest weights, and the paths that were believed most and least, with how belief grew along them."""
    order = sorted(
        ((chance, place, i) for place, own in enumerate(judged.chances) for i, chance in enumerate(own)),
        key=lambda row: (-row[0], row[1], row[2]),
    )
    once: dict[int, tuple[float, int, int]] = {}
    for row in order:
        once.setdefault(row[1], row)
    last: dict[int, tuple[float, int, int]] = {}
    for row in reversed(order):
        last.setdefault(row[1], row)
    found: Row = {"weights": _weights(judged.fitted[0][0])}
    for end, chosen in (("highest", list(once.values())), ("lowest", list(last.values()))):
        found[end] = [
            _shown(groups[place].problem, groups[place].paths[i], chance)
            | {"along": [[b.end, round(b.probability, 4)] for b in _along(judged, place, i, groups, reader)]}
            for chance, place, i in chosen[:SHOWN]
        ]
    return found


def _along(judged: Judged, place: int, i: int, groups: Sequence[PathGroup], reader: Reader | None) -> list[Belief]:
    selector, calibration = judged.fitted[place]
    return beliefs(selector, calibration, reader, groups[place].problem, groups[place].paths[i])


def _shown(problem: Problem, path: ReasoningPath, chance: float) -> Row:
    return {
        "problem": problem.id,
        "question": problem.question,
        "gold": problem.answer,
        "text": path.text[:4000],
        "extracted": path.extracted,
        "right": path.right,
        "probability": chance,
    }


def _weights(selector: Selector) -> list[list[Any]] | None:
    """The largest weights of a probe on features, by name."""
    if not isinstance(selector, Linear) or not selector.names:
        return None
    pairs = zip(selector.names, selector.weights.tolist(), strict=True)
    return [[name, weight] for name, weight in sorted(pairs, key=lambda pair: -abs(pair[1]))[:WEIGHTS]]
