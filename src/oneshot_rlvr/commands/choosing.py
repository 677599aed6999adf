"""What `oneshot select` and `oneshot problems build` share: candidates by name, and files of the chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import write_atomically
from oneshot_rlvr.problems import Problem, find_problems, named_sets, to_jsonl
from oneshot_rlvr.problems.verl import write_parquet
from oneshot_rlvr.runs import Run
from oneshot_rlvr.selection import Candidates, Ranked, read_history


def candidates_of(pool: str | None, history: str | Path | None) -> Candidates:
    """Candidates of a pool, a history, or both. A run, and a JSON history, may stand where a pool does.

    Raises:
        OneshotError: neither can be read, or they do not fit each other.
    """
    if pool is not None and history is None and _is_history(pool):
        pool, history = None, pool
    problems = None if pool is None else find_problems(pool, unlabelled=True)
    if problems is None and history is not None and (run := Run(Path(history))).started:
        problems = run.problems
    seen = None if history is None else read_history(history)
    return Candidates.of(problems, seen, history or "")


def _is_history(pool: str) -> bool:
    """Whether what stands where a pool does is a run, dumps, or a JSON history; a known name is a pool."""
    return pool not in named_sets() and (Path(pool).is_dir() or Path(pool).suffix == ".json")


def write_chosen(path: Path, candidates: Candidates, indices: Sequence[int], repeat: int = 1) -> list[Problem]:
    """The problems at places of the pool, in this order, each `repeat` times, as verl's parquet or as jsonl.

    Raises:
        OneshotError: only a history was given, another kind of file, or a problem without an answer.
    """
    known = dict(zip(candidates.indices, candidates.texts(), strict=True))
    chosen = [known[index] for index in indices]
    if path.suffix not in (".parquet", ".jsonl"):
        raise OneshotError("not a kind of file that is written", where=path, fix="End it in .parquet or .jsonl.")
    empty = [problem.id for problem in chosen if not problem.answer.strip()]
    if empty:
        raise OneshotError(f"{empty[0]!r} has no answer to train on", where=path, fix="Choose fewer, or others.")
    if path.suffix == ".parquet":
        places = {problem.id: index for problem, index in zip(chosen, indices, strict=True)}
        write_parquet(path, [problem for problem in chosen for _ in range(repeat)], places)
    else:
        write_atomically(path, to_jsonl(chosen))
    return chosen


def curves_page(path: Path, candidates: Candidates, ranking: Sequence[Ranked], by: str) -> None:
    """One figure of each chosen problem's accuracy at its visits, beside the mean of all."""
    from oneshot_rlvr.reporting.curves import write_curves

    curves = [[visit.accuracy for visit in seen] for seen in candidates.history()]
    by_index = dict(zip(candidates.indices, curves, strict=True))
    chosen = [(f"pi_{row.rank}: {row.id}", by_index[row.index]) for row in ranking]
    write_curves(path, f"{len(ranking)} of {len(curves)} problems by {by}", chosen, curves)
