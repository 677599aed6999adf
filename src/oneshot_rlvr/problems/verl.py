"""Problems as verl reads them: the parquet schema of the released files, written so that each row is theirs again."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError, first_line
from oneshot_rlvr.files import write_atomically
from oneshot_rlvr.problems.loaders import ABILITY
from oneshot_rlvr.problems.problem import Problem
from oneshot_rlvr.problems.templates import BOXED_INSTRUCTION

OURS = ("instruction", "joined", "ability", "copies")  # what the loader keeps beside the row's own `extra_info`


def verl_row(problem: Problem, index: int) -> dict[str, Any]:
    """A problem as one row: the question and its instruction as one user turn, the gold, its place in its set.

    A problem that was read from such a row becomes that row, its own instruction included.
    """
    instruction = problem.extra.get("instruction", BOXED_INSTRUCTION)
    gap = "" if problem.extra.get("joined") else " "
    own = {"subject": problem.category, "level": problem.level, "solution": problem.solution}
    rest = {key: value for key, value in problem.extra.items() if key not in (*OURS, "split")}
    return {
        "data_source": problem.source,
        "prompt": [{"content": f"{problem.question}{gap}{instruction}", "role": "user"}],
        "ability": problem.extra.get("ability", ABILITY),
        "reward_model": {"ground_truth": problem.answer, "style": "rule"},
        "extra_info": {"index": index, "split": problem.extra.get("split", "train")}
        | {key: value for key, value in (own | rest).items() if value is not None},
    }


def write_parquet(path: Path, problems: Iterable[Problem], indices: Mapping[str, int]) -> None:
    """Write rows for verl's trainer, or for ours; `indices` are the problems' places in their set, by id.

    Raises:
        OneshotError: the file cannot be written.
    """
    write_verl_rows(path, [verl_row(one, indices[one.id]) for one in problems])


def write_verl_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as `verl_row` makes them.

    Raises:
        OneshotError: the file cannot be written, or a column holds values of several types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = io.BytesIO()
    try:
        pq.write_table(pa.Table.from_pylist(rows), data)
    except (pa.ArrowException, OverflowError) as error:
        raise OneshotError(
            f"not a table: {first_line(error)}",
            where=path,
            fix="Give a column values of one type, not empty objects; or write .jsonl.",
        ) from error
    write_atomically(path, data.getvalue())
