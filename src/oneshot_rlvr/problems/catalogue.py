"""Problem sets by name: what guests registered, files of a data folder (`ONESHOT_DATA`), public benchmarks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.files import checksum_of
from oneshot_rlvr.problems.adapters import foreign_problems, is_foreign
from oneshot_rlvr.problems.benchmarks import ON_HUB, RANKINGS, WHERE
from oneshot_rlvr.problems.hub import from_copy, from_hub, named_on_hub
from oneshot_rlvr.problems.known import SETS, named_sets
from oneshot_rlvr.problems.loaders import READERS, load_problems
from oneshot_rlvr.problems.problem import Problem, to_jsonl

_SUITES: dict[str, tuple[str, ...]] = {}
_RANKINGS: dict[str, Mapping[int, str]] = dict(RANKINGS)
_PICK = re.compile(r"pi_(\d{1,9}|last)(?:-pi_(\d{1,9}|last))?")


def register_sets(name: str, sets: Mapping[str, Path], suites: Sequence[str]) -> None:
    """Make problem files known by name, and `name` stand for the held-out `suites` among them in an evaluation."""
    SETS.update(sets)
    _SUITES[name] = tuple(suites)


def register_ranking(name: str, ids: Sequence[str]) -> None:
    """Make the order of a set's problems known: pi_1, which varied most while the set was trained on, comes first."""
    _RANKINGS[name] = dict(enumerate(ids, 1))


def suites_of(name: str) -> tuple[str, ...]:
    """The held-out suites that a guest's name stands for; any other name stands for itself."""
    return _SUITES.get(name, (name,))


def default_suites() -> tuple[str, ...]:
    """What is evaluated when nothing is named: the first guest's suites."""
    return next(iter(_SUITES.values()), ())


def find_problems(name: str, skip_bad_rows: bool = False, unlabelled: bool = False) -> list[Problem]:
    """The problems of a named set, a benchmark or a file, or those of a set that `SET:pi_1,pi_3-pi_5` picks by rank.

    `rg:TASK?size=200&seed=1` and `lm:TASK` are other libraries' (`adapters`).
    `skip_bad_rows` and `unlabelled` are `load_problems`'s. Hyphens may stand for underscores: `dsr-sub`.

    Raises:
        OneshotError: no such name or file, a file that cannot be used, or a rank that is not known.
    """
    if is_foreign(name):
        return foreign_problems(name)
    sets = named_sets()
    name = _known_as(name)
    whole, _, picks = name.rpartition(":")
    if name not in sets and whole and all(_PICK.fullmatch(pick) for pick in picks.split(",")):
        return _picked(_known_as(whole), picks.split(","), skip_bad_rows)
    if name in sets and name in ON_HUB:
        return from_copy(sets[name], ON_HUB[name], skip_bad_rows, unlabelled)
    if name in sets:
        return load_problems(sets[name], skip_bad_rows, unlabelled)
    if name in ON_HUB:
        return from_hub(ON_HUB[name], skip_bad_rows, unlabelled)
    if Path(name).suffix in READERS or Path(name).exists():
        return load_problems(name, skip_bad_rows, unlabelled)
    if (on_hub := named_on_hub(name)) is not None:
        return from_hub(on_hub, skip_bad_rows, unlabelled)
    if name in WHERE:
        raise OneshotError(f"{name} is not here", fix=f"Let ONESHOT_DATA name a folder with {WHERE[name]}.")
    near = nearest(name, [*sets, *ON_HUB])
    fix = f"{near} Or give a .jsonl, .csv or .parquet file, owner/name:split, or set ONESHOT_DATA."
    raise OneshotError(f"no problem set or file {name!r}", fix=fix)


def provenance(name: str, problems: Sequence[Problem]) -> str:
    """The checksum of a set as it was read, and whether it is that of the copy that this project knows; its licence."""
    found, known = checksum_of(to_jsonl(problems)), ON_HUB.get(_known_as(name))
    said = f"Checksum {found}"
    if known is None:
        return f"{said}."
    if known.checksum is not None:
        said += ", as known here" if known.checksum == found else f"; the copy known here has {known.checksum}"
    return f"{said}. Licence: {known.licence}."


def _known_as(name: str) -> str:
    other = name.replace("-", "_")
    return other if other in (*named_sets(), *ON_HUB, *WHERE) else name


def _picked(name: str, picks: Sequence[str], skip_bad_rows: bool) -> list[Problem]:
    """Problems of a set by rank, in the order in which they are named."""
    problems = {problem.id: problem for problem in find_problems(name, skip_bad_rows)}
    ranking = _RANKINGS.get(name)
    if ranking is None:
        raise OneshotError(
            "the order of this set's problems is not known",
            where=name,
            fix="`oneshot select` ranks them; name problems by their ids with --set data.only=[...].",
        )
    found: dict[str, Problem] = {}
    for pick in picks:
        first, last = (max(ranking) if end == "last" else int(end) for end in _ends(pick))
        if first > last:
            raise OneshotError(f"{pick} picks nothing", where=name, fix="Write the lower rank first.")
        for place in range(first, last + 1):
            if place not in ranking or ranking[place] not in problems:
                raise OneshotError(f"no problem pi_{place} is known", where=name, fix=f"Known are {_known(ranking)}.")
            found[ranking[place]] = problems[ranking[place]]
    return list(found.values())


def _ends(pick: str) -> tuple[str, str]:
    match = _PICK.fullmatch(pick)
    assert match is not None
    return match[1], match[2] or match[1]


def _known(ranking: Mapping[int, str]) -> str:
    """Stretches of known ranks as text."""
    places, text = sorted(ranking), []
    start = places[0]
    for here, after in zip(places, [*places[1:], -1], strict=True):
        if after != here + 1:
            text.append(f"pi_{start}" if start == here else f"pi_{start} to pi_{here}")
            start = after
    return ", ".join(text)
