"""Sets of the Hugging Face hub, through `datasets` (extra `hub`). A file of ONESHOT_DATA of that name goes first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from oneshot_rlvr.errors import OneshotError, first_line
from oneshot_rlvr.problems.loaders import from_rows, read_rows
from oneshot_rlvr.problems.problem import Problem

COLUMNS = ("question", "answer", "id", "category", "level", "solution")  # that can be named
SEE_CARD = "see its card"
_ON_HUB = re.compile(
    r"(?P<repository>[\w.-]+/(?P<title>[\w.-]+)):(?P<split>[\w.-]+(?:\[[\d:%]*\])?)(?:\?(?P<options>.*))?"
)


@dataclass(frozen=True)
class Part:
    """A part of a split that has no test set of its own: `datasets`' `train_test_split`, maybe shuffled before."""

    which: str  # train or test
    share: float
    seed: int
    shuffled: int | None = None


@dataclass(frozen=True)
class HubSet:
    """A set on the hub: repository, split, configuration.

    `rows` and `checksum` (of the problems as jsonl, as we read them) are those of the copy that this project has seen,
    None where it has seen none. `columns` are ours -> theirs where they are called something else; `instruction` is
    what a released script has behind each question, and `source` what it calls the set.
    """

    name: str
    title: str
    repository: str
    split: str
    configuration: str | None = None
    rows: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    licence: str = SEE_CARD
    checksum: str | None = None
    part: Part | None = None
    instruction: str = ""
    source: str | None = None


def named_on_hub(name: str) -> HubSet | None:
    """The set that `owner/name:split` means, with `?question=COLUMN&answer=COLUMN&config=NAME` where it needs them.

    None where the name is not such a one.

    Raises:
        OneshotError: an option that there is not.
    """
    match = _ON_HUB.fullmatch(name)
    if match is None:
        return None
    columns = dict(parse_qsl(match["options"] or "", keep_blank_values=True))
    configuration = columns.pop("config", None)
    unknown = [key for key in columns if key not in COLUMNS]
    if unknown:
        raise OneshotError(f"no option {unknown[0]!r}", where=name, fix=f"There are {', '.join(COLUMNS)}, config.")
    return HubSet(name, match["title"], match["repository"], match["split"], configuration, columns=columns)


def from_hub(wanted: HubSet, skip_bad_rows: bool = False, unlabelled: bool = False) -> list[Problem]:
    """A set's problems from the Hugging Face hub.

    Raises:
        OneshotError: `datasets` is not installed, the hub cannot be reached, or rows that cannot be used.
    """
    fix = "Set ONESHOT_DATA to a folder with this set as .jsonl, .csv or .parquet."
    datasets = _datasets(f"the set {wanted.name!r} is not in ONESHOT_DATA", f" Or: {fix}")
    where = f"{wanted.repository}, {wanted.split}"
    try:
        rows: Any = datasets.load_dataset(wanted.repository, wanted.configuration, split=wanted.split)
    except Exception as error:  # the library's own: no network, no such set, a script where data should be
        raise OneshotError(f"cannot load the set: {first_line(error)}", where=where, fix=fix) from error
    return _problems(rows, wanted, where, skip_bad_rows, unlabelled)


def from_copy(path: Path, wanted: HubSet, skip_bad_rows: bool = False, unlabelled: bool = False) -> list[Problem]:
    """A set's problems from a local file: the hub's own split, by its columns, or else problems as `load_problems` has.

    Raises:
        OneshotError: a file that cannot be used, or `datasets` is not installed where a part is drawn with it.
    """
    numbered, theirs = read_rows(path), set(wanted.columns.values())
    if not theirs or not numbered or not theirs <= numbered[0][1].keys():
        return from_rows(numbered, str(path), path.stem, skip_bad_rows, unlabelled)
    rows: Any = [row for _, row in numbered]
    if wanted.part is not None:
        rows = _datasets(f"{wanted.name!r} is a part that it draws").Dataset.from_list(rows)
    return _problems(rows, wanted, str(path), skip_bad_rows, unlabelled)


def _datasets(why: str, otherwise: str = "") -> Any:
    try:
        import datasets
    except ImportError as error:
        raise OneshotError(
            f"{why}, and the package `datasets` is not installed", fix=f"pip install 'oneshot-rlvr[hub]'.{otherwise}"
        ) from error
    return datasets


def _problems(rows: Any, wanted: HubSet, where: str, skip_bad_rows: bool, unlabelled: bool) -> list[Problem]:
    """Of a split's rows."""
    if wanted.part is not None:
        rows = _part(rows, wanted.part)
    found = _numbered(rows, wanted, where)
    return from_rows(found, where, wanted.source or wanted.name, skip_bad_rows, unlabelled)


def _part(rows: Any, part: Part) -> Any:
    if part.shuffled is not None:
        rows = rows.shuffle(seed=part.shuffled)
    return rows.train_test_split(test_size=part.share, seed=part.seed)[part.which]


def _numbered(rows: Iterable[dict[str, Any]], wanted: HubSet, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    extra = {"instruction": wanted.instruction} if wanted.instruction else {}
    for number, row in enumerate(rows, 1):
        named = {}
        for ours, theirs in wanted.columns.items():
            if theirs not in row:
                raise OneshotError(f"no column {theirs!r}", where=where, fix=f"Name one of {', '.join(row)}.")
            named[ours] = row[theirs]
        rest = {key: value for key, value in row.items() if key not in (*named, *wanted.columns.values())}
        yield number, {**rest, **extra, **named}
