"""`oneshot grade`: regrade rows of any origin, and compare two modes on them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading.grade import Grader
from oneshot_rlvr.grading.types import Finish, Grade

Row = dict[str, Any]
OTHER_NAMES = {"pred": "response", "gold": "answer"}
STANDARD = Path("-")  # standard input or output


def read_rows(path: Path) -> list[Row]:
    """Rows of a jsonl file with the texts `pred` and `gold`; `response` and `answer` are read as these.

    Raises:
        OneshotError: no such file, or a line that is no such row.
    """
    try:
        text = sys.stdin.read() if path == STANDARD else path.read_text()
    except OSError as error:
        raise OneshotError(f"cannot read it ({error.strerror})", where=path, fix="Check the path.") from None
    except UnicodeDecodeError:
        raise OneshotError("it is no UTF-8 text", where=path, fix="Save it as UTF-8 jsonl.") from None
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            row = {key: row.get(other) for key, other in OTHER_NAMES.items()} | row
        if not isinstance(row, dict) or not all(isinstance(row[key], str | int | float) for key in OTHER_NAMES):
            raise OneshotError(
                "a row needs the texts 'pred' and 'gold' (or 'response' and 'answer')",
                where=f"{path} line {number}",
                fix="Mend the line.",
            )
        rows.append(row)
    if not rows:
        raise OneshotError("there are no rows", where=path, fix='Write lines such as {"pred": "...", "gold": "..."}.')
    return rows


def grade_rows(rows: Sequence[Row], grader: Grader) -> list[Row]:
    """The rows with `outcome`, `reward`, `extracted`, `found`, `layer` and `seconds` added."""
    finishes: list[Finish] = ["length" if row.get("finish") == "length" else "stop" for row in rows]
    grades = grader.grade_many([str(row["pred"]) for row in rows], [str(row["gold"]) for row in rows], finishes)
    return [{**row, **_fields(grade)} for row, grade in zip(rows, grades, strict=True)]


def _fields(grade: Grade) -> Row:
    return {
        "outcome": grade.outcome,
        "reward": grade.reward,
        "extracted": grade.extracted,
        "found": grade.source,
        "layer": grade.layer,
        "seconds": round(grade.seconds, 6),
    }


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Rows as jsonl, in order. Lone surrogates of hostile text are escaped, so any text can be written."""
    lines = [json.dumps(row, ensure_ascii=True) + "\n" for row in rows]
    if path == STANDARD:
        sys.stdout.writelines(lines)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines))
    except OSError as error:
        raise OneshotError(f"cannot write it ({error.strerror})", where=path, fix="Choose another --out.") from None


def confusion(ours: Sequence[Row], theirs: Sequence[Row]) -> Counter[tuple[str, str]]:
    """How often one mode's outcome met the other's."""
    return Counter((a["outcome"], b["outcome"]) for a, b in zip(ours, theirs, strict=True))


def disagreements(ours: Sequence[Row], theirs: Sequence[Row]) -> list[tuple[int, Row, Row]]:
    """Line numbers and rows where exactly one mode says correct."""
    rows = enumerate(zip(ours, theirs, strict=True), 1)
    return [(n, a, b) for n, (a, b) in rows if (a["outcome"] == "correct") != (b["outcome"] == "correct")]
