"""The public benchmarks: what each is called and where it comes from.

A folder named by `ONESHOT_DATA` comes first: any problem file in it whose stem is the benchmark's name. Otherwise the
set is taken from the Hugging Face hub through `datasets` (extra `hub`). Nothing is shipped: their licences differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems.loaders import from_rows
from oneshot_rlvr.problems.problem import Problem


@dataclass(frozen=True)
class Benchmark:
    """A set on the hub: repository, configuration, split; `rows` as the paper's release has it."""

    name: str
    title: str
    repository: str
    split: str
    configuration: str | None = None
    rows: int | None = None


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


def from_hub(benchmark: Benchmark) -> list[Problem]:
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
    return from_rows(_numbered(rows), where, benchmark.name)


def _numbered(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    yield from enumerate(rows, 1)
