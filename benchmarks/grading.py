"""Grading speed beside math-verify alone, on real outputs (`outputs/math_cot_100.jsonl`: 100 problems, 8 outputs each).

    python benchmarks/grading.py --json results/grading.json

Two workloads. `rollouts`: 1024 responses to one problem, as a training step has them (its 8 outputs, 128 times each;
repeated for ten problems). `distinct`: all 800 outputs, each once. Both graders get the same full responses and golds,
in turn, in one process; worker processes are started before the clock. math-verify parses and verifies each response
as TRL's accuracy reward does, gold included. Medians over repeats; `p99_ms` is over single grades without any cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify

from oneshot_rlvr.grading import Grader
from oneshot_rlvr.runs.environment import commit

DATA = Path(os.environ.get("ONESHOT_DATA", Path(__file__).parents[2] / "shared" / "data"))
Pairs = list[tuple[str, str]]


def math_verify_alone(pairs: Pairs) -> list[bool]:
    """Each response parsed and verified."""
    return [one_with_math_verify(text, gold) for text, gold in pairs]


def one_with_math_verify(text: str, gold: str) -> bool:
    wanted = parse(rf"\boxed{{{gold}}}")
    return bool(verify(wanted, parse(text, extraction_config=[LatexExtractionConfig(boxed_match_priority=0)])))


def ours(grader: Grader) -> Callable[[Pairs], list[bool]]:
    """A batch with a fresh memory, so that repeats measure work."""

    def grade(pairs: Pairs) -> list[bool]:
        grader.forget()
        grades = grader.grade_many([text for text, _ in pairs], [gold for _, gold in pairs])
        return [grade.outcome == "correct" for grade in grades]

    return grade


def timed(function: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - started, result


def compare(name: str, workloads: list[Pairs], grader: Grader, repeats: int) -> dict[str, Any]:
    """Seconds of both on each workload, in turn, and the ratio."""
    seconds: dict[str, list[float]] = {"ours": [], "math_verify": []}
    graders = {"ours": ours(grader), "math_verify": math_verify_alone}
    agree = total = 0
    for _ in range(repeats):
        for pairs in workloads:
            verdicts = {}
            for who, function in graders.items():
                took, verdicts[who] = timed(function, pairs)
                seconds[who].append(took)
            agree += sum(a == b for a, b in zip(verdicts["ours"], verdicts["math_verify"], strict=True))
            total += len(pairs)
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["math_verify"], strict=True)]
    rate = {who: len(workloads[0]) / statistics.median(values) for who, values in seconds.items()}
    return {
        "workload": name,
        "responses": len(workloads[0]),
        "batches": len(seconds["ours"]),
        "seconds_median": {who: round(statistics.median(values), 4) for who, values in seconds.items()},
        "per_second": {who: round(value) for who, value in rate.items()},
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "agreement": round(agree / total, 4),
    }


def latencies(pairs: Pairs, grader: Grader) -> dict[str, dict[str, float]]:
    """Milliseconds of single grades, without memory of earlier ones."""
    found: dict[str, list[float]] = {"ours": [], "math_verify": []}
    one = ours(grader)
    for pair in pairs:
        found["ours"].append(1e3 * timed(one, [pair])[0])
        found["math_verify"].append(1e3 * timed(one_with_math_verify, *pair)[0])
    return {
        who: {
            "median_ms": round(statistics.median(values), 3),
            "p99_ms": round(statistics.quantiles(values, n=100)[98], 3),
            "max_ms": round(max(values), 3),
        }
        for who, values in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rows = [json.loads(line) for line in (DATA / "outputs" / "math_cot_100.jsonl").read_text().splitlines()]
    groups = [[(text, row["answer"]) for text in row["response"]] for row in rows]
    distinct = [pair for group in groups for pair in group]
    with Grader() as grader:
        grader.grade_many([r"\boxed{x+1}", r"\boxed{x+2}"], ["1+x", "2+x"])  # both workers are up
        result = {
            "benchmark": "grading",
            "workloads": [
                compare("rollouts", [group * 128 for group in groups[:10]], grader, args.repeats),
                compare("distinct", [distinct], grader, args.repeats),
            ],
            "single": latencies(distinct, grader),
            "commit": commit(),
            "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
            "versions": {name: version(name) for name in ("math-verify", "latex2sympy2_extended", "sympy")},
        }
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
