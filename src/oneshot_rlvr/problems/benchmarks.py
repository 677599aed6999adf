"""The public benchmarks: what each is called and where it comes from.

A folder named by `ONESHOT_DATA` comes first: any problem file in it whose stem is the benchmark's name. Otherwise the
set is taken from the Hugging Face hub through `datasets` (extra `hub`). Nothing is shipped: their licences differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems.loaders import from_rows
from oneshot_rlvr.problems.problem import Problem

COLUMNS = ("question", "answer", "id", "category", "level", "solution")  # that can be named
_ON_HUB = re.compile(
    r"(?P<repository>[\w.-]+/(?P<title>[\w.-]+)):(?P<split>[\w.-]+(?:\[[\d:%]*\])?)(?:\?(?P<options>.*))?"
)


@dataclass(frozen=True)
class Benchmark:
    """A set on the hub: repository, split, configuration; `rows` as the paper's release has it."""

    name: str
    title: str
    repository: str
    split: str
    configuration: str | None = None
    rows: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # ours -> theirs, where they are called something else


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("math500", "MATH500", "HuggingFaceH4/MATH-500", "test", rows=500),
        Benchmark("aime24", "AIME24", "HuggingFaceH4/aime_2024", "train", rows=30),
        Benchmark("amc23", "AMC23", "zwhe99/amc23", "test", rows=40),
        Benchmark("minerva_math", "Minerva", "math-ai/minervamath", "test", rows=272),
        Benchmark("olympiadbench", "OlympiadBench", "Hothan/OlympiadBench", "train", "OE_TO_maths_en_COMP", rows=675),
        Benchmark("aime25", "AIME25", "yentinglin/aime_2025", "train", rows=30),
        Benchmark("gsm8k", "GSM8K", "openai/gsm8k", "test", "main", rows=1319),
        Benchmark("arc_easy", "ARC-E", "allenai/ai2_arc", "test", "ARC-Easy", rows=2376),
        Benchmark("arc_challenge", "ARC-C", "allenai/ai2_arc", "test", "ARC-Challenge", rows=1172),
    )
}


# The paper's ranking of DSR-sub (pi_j -> index), by the variance of its released accuracy history (arXiv 2504.20571).
_FIRST = (124, 267, 531, 931, 212, 25, 568, 131, 649, 724, 875, 925, 682, 100, 291, 50, 870)
_LATER = {605: 60, 606: 906, 1201: 847, 1207: 174, 1208: 770, 1209: 789}
RANKINGS = {"dsr_sub": {place: str(index) for place, index in {**dict(enumerate(_FIRST, 1)), **_LATER}.items()}}

WHERE = {"dsr_sub": "dsr_sub.parquet, of data/train/one_shot_rlvr in github.com/ypwang61/One-Shot-RLVR"}


def title_of(suite: str) -> str:
    """How a suite is called in tables."""
    return BENCHMARKS[suite].title if suite in BENCHMARKS else suite.rpartition(":")[2]


def named_on_hub(name: str) -> Benchmark | None:
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
    return Benchmark(name, match["title"], match["repository"], match["split"], configuration, columns=columns)


def from_hub(benchmark: Benchmark, skip_bad_rows: bool = False, unlabelled: bool = False) -> list[Problem]:
    """A benchmark's problems from the Hugging Face hub.

    Raises:
        OneshotError: `datasets` is not installed, the hub cannot be reached, or rows that cannot be used.
    """
    fix = "Set ONESHOT_DATA to a folder with this set as .jsonl, .csv or .parquet."
    try:
        import datasets
    except ImportError as error:
        raise OneshotError(
            f"the benchmark {benchmark.name!r} is not in ONESHOT_DATA, and the package `datasets` is not installed",
            fix=f"pip install 'oneshot-rlvr[hub]'. Or: {fix}",
        ) from error
    where = f"{benchmark.repository}, {benchmark.split}"
    try:
        rows: Any = datasets.load_dataset(benchmark.repository, benchmark.configuration, split=benchmark.split)
    except (OSError, ValueError) as error:  # no network, no such set
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OneshotError(f"cannot load the benchmark: {reason}", where=where, fix=fix) from error
    return from_rows(_numbered(rows, benchmark.columns, where), where, benchmark.name, skip_bad_rows, unlabelled)


def _numbered(
    rows: Iterable[dict[str, Any]], columns: Mapping[str, str], where: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in enumerate(rows, 1):
        for ours, theirs in columns.items():
            if theirs not in row:
                raise OneshotError(f"no column {theirs!r}", where=where, fix=f"Name one of {', '.join(row)}.")
            row = {key: value for key, value in row.items() if key not in (ours, theirs)} | {ours: row[theirs]}
        yield number, row
