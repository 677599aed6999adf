"""Agreement of the grading modes with labelled pairs and with the original graders' verdicts.

    python benchmarks/graders.py --json results/graders.json

`written`, `open` (core) and `attacks` are labelled pairs of bare answers and golds, for mode `default`, with
math-verify alone beside it (the answer parsed from a box, as TRL's reward does). `originals` are 2,197 responses with
what the released reward and the released evaluation grader said, for the modes that repeat them. Third-party data
(`ONESHOT_DATA`), not in this repository. A false "correct" under a kind that starts with `policy` is one of the
written policies (docs/grading.md) and is counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify

from oneshot_rlvr.grading import Grader
from oneshot_rlvr.runs.environment import commit

CASES = Path(os.environ.get("ONESHOT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "grader_cases"
Row = dict[str, Any]


def rows_of(name: str) -> list[Row]:
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text().splitlines()]


def graded(mode: str, answers: bool, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    with Grader(mode=mode, answers=answers) as grader:
        grades = grader.grade_many([answer for answer, _ in pairs], [gold for _, gold in pairs])
    return [grade.outcome == "correct" for grade in grades]


def math_verify_alone(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    boxed = [LatexExtractionConfig(boxed_match_priority=0)]
    return [
        bool(verify(parse(rf"\boxed{{{gold}}}"), parse(rf"\boxed{{{answer}}}", extraction_config=boxed)))
        for answer, gold in pairs
    ]


def summary(found: Sequence[bool], wanted: Sequence[bool], kinds: Sequence[str]) -> Row:
    false = [kind for ok, want, kind in zip(found, wanted, kinds, strict=True) if ok and not want]
    refused = sum(want and not ok for ok, want in zip(found, wanted, strict=True))
    return {
        "pairs": len(wanted),
        "agreement": round(1 - (len(false) + refused) / len(wanted), 4),
        "false_correct": sum("policy" not in kind for kind in false),
        "false_correct_by_policy": sum("policy" in kind for kind in false),
        "refused": refused,
    }


def labelled(name: str) -> Row:
    """Mode `default` and math-verify on one file of labelled pairs."""
    rows = [row for row in rows_of(name) if row.get("core", True)]
    answer, gold = ("pred_ans", "gold_ans") if "pred_ans" in rows[0] else ("pred", "gold")
    pairs = [(row[answer], row[gold]) for row in rows]
    wanted = [bool(row.get("match", row.get("expected"))) for row in rows]
    kinds = [str(row.get("kind", "")) for row in rows]
    return {
        "default": summary(graded("default", True, pairs), wanted, kinds),
        "math-verify": summary(math_verify_alone(pairs), wanted, kinds),
    }


def originals() -> dict[str, Row]:
    """The modes that repeat an original, against its verdicts."""
    rows = rows_of("originals")
    pairs, kinds = [(row["pred"], row["gold"]) for row in rows], [""] * len(rows)
    keys = {"released": "released", "qwen-eval": "qwen_eval"}
    return {mode: summary(graded(mode, False, pairs), [row[key] for row in rows], kinds) for mode, key in keys.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = {
        "benchmark": "graders",
        "labelled": {name: labelled(name) for name in ("written", "open", "attacks")},
        "originals": originals(),
        "commit": commit(),
        "versions": {name: version(name) for name in ("math-verify", "latex2sympy2_extended", "sympy", "pylatexenc")},
    }
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
