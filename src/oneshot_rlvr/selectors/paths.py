"""Reasoning paths: responses to problems, graded and measured, and the folder that keeps them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.evaluation.metrics import vote_of
from oneshot_rlvr.files import checksum, write_atomically
from oneshot_rlvr.grading import Response
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.problems.loaders import rows_of_jsonl
from oneshot_rlvr.sealing import begin_record, read_record, read_sealed_rows, write_sealed_rows

Row = dict[str, Any]
FIX = "Collect them with `oneshot paths collect`."
AGAIN = "Delete it: it is then collected again."


OF_READING = (
    "mean log-probability",
    "least log-probability",
    "log-probability of the last quarter",
    "mean entropy",
    "greatest entropy",
    "entropy of the last quarter",
    "self-certainty",
)
LEAST = -20.0  # log-probability of one token: what is rarer is not told apart


@dataclass(frozen=True)
class ReasoningPath:
    """A response with its verdict, and what the reading model measured of its text, where one has.

    `logprobs` and `entropies` (nats) are one a token, at temperature 1; `certainty` is the mean of KL(uniform || next
    token); `state` is the last hidden state of the last token, [H]. `given` is a score that it came with. A reader of
    a student's solution has no verdict: `outcome` is then "unscorable".
    """

    text: str
    finish: str = "stop"
    tokens: int = 0
    outcome: str = "unscorable"
    extracted: str | None = None
    logprobs: tuple[float, ...] = field(default=(), repr=False)
    entropies: tuple[float, ...] = field(default=(), repr=False)
    certainty: float | None = None
    state: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    given: float | None = None

    @property
    def right(self) -> bool:
        """Whether its answer is."""
        return self.outcome == "correct"

    @cached_property
    def answer(self) -> Hashable | None:
        """What it votes for; None where it has no answer that can be read."""
        return vote_of(self.extracted)

    @property
    def length(self) -> int:
        """Its tokens as the reading model has them, which are the same of a rollout and of a stranger's solution."""
        return len(self.logprobs) if self.measured else self.tokens

    @property
    def measured(self) -> bool:
        """Whether a model has read it."""
        return self.certainty is not None

    @cached_property
    def reading(self) -> dict[str, float]:
        """What its reading comes to, by the names of `OF_READING`; an empty text's is all 0."""
        logprobs, entropies = self.logprobs or (0.0,), self.entropies or (0.0,)
        last = max(1, len(logprobs) // 4)
        parts = (logprobs, logprobs[-last:], entropies, entropies[-last:])
        sure, surely_ended, unsure, unsure_ended = (sum(part) / len(part) for part in parts)
        least, greatest = max(min(logprobs), LEAST), max(entropies)
        values = (sure, least, surely_ended, unsure, greatest, unsure_ended, self.certainty or 0.0)
        return dict(zip(OF_READING, values, strict=True))

    @staticmethod
    def of(response: Response) -> ReasoningPath:
        """What a reward function sees, as a path that no model has read; not its verdict, which is the gold's."""
        return ReasoningPath(response.text, response.finish, response.tokens, extracted=response.extracted)

    def to_json(self) -> Row:
        """Everything but the state, which is kept apart."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "state"}
        for name in ("logprobs", "entropies"):
            row[name] = [round(value, 5) for value in row[name]]
        return row


@dataclass(frozen=True)
class PathGroup:
    """A problem and paths that were tried on it."""

    problem: Problem
    paths: Sequence[ReasoningPath]

    @cached_property
    def right_N(self) -> NDArray[np.bool_]:
        """Which are right."""
        return np.array([path.right for path in self.paths], dtype=bool)

    @cached_property
    def classes_N(self) -> NDArray[np.int_]:
        """What each votes for, numbered as it first occurs; -1 where it has no answer that can be read."""
        numbers: dict[Hashable, int] = {}
        answers = [path.answer for path in self.paths]
        return np.array([-1 if a is None else numbers.setdefault(a, len(numbers)) for a in answers], dtype=int)

    @property
    def mixed(self) -> bool:
        """Whether some are right and some are not: only then is there something to learn from it."""
        return bool(self.right_N.any() and not self.right_N.all())

    @property
    def rate(self) -> float:
        """The share of right ones."""
        return float(self.right_N.mean()) if len(self.paths) else 0.0

    def of(self, chosen: Sequence[int]) -> PathGroup:
        """The chosen ones alone."""
        return PathGroup(self.problem, [self.paths[i] for i in chosen])


class PathFolder:
    """`paths.json` (what was asked), `shards/NNNN.jsonl.zst` (a row a problem) and `states/NNNN.safetensors`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def shard_path(self, number: int) -> Path:
        """Where a shard's rows are."""
        return self.path / "shards" / f"{number:04d}.jsonl.zst"

    def _states_path(self, number: int) -> Path:
        return self.path / "states" / f"{number:04d}.safetensors"

    @property
    def record(self) -> Row:
        """What was asked.

        Raises:
            OneshotError: there is none, or it was damaged.
        """
        return read_record(self.path / "paths.json", FIX)

    def begin(self, record: Mapping[str, Any]) -> None:
        """Say what is asked; a folder that was begun with something else is refused.

        Raises:
            OneshotError: it holds other paths.
        """
        begin_record(self.path / "paths.json", record, "its paths have")

    def write_shard(self, number: int, groups: Sequence[PathGroup]) -> None:
        """Keep groups of paths; their rows come last, so that a shard with rows is whole."""
        states = [path.state for group in groups for path in group.paths if path.state is not None]
        path = self._states_path(number)
        if states:
            write_atomically(path, save({"states": np.stack(states).astype(np.float32)}))
        rows: list[Row] = [{"states": checksum(path) if states else None}]
        rows += [
            {"problem": dataclasses.asdict(group.problem), "paths": [path.to_json() for path in group.paths]}
            for group in groups
        ]
        self.shard_path(number).parent.mkdir(parents=True, exist_ok=True)
        write_sealed_rows(self.shard_path(number), rows)

    def shard(self, number: int) -> list[PathGroup]:
        """The groups of a shard.

        Raises:
            OneshotError: it is missing or damaged.
        """
        path = self._states_path(number)
        first, *rows = read_sealed_rows(self.shard_path(number), AGAIN)
        states: Iterator[Any] = iter(())
        if first["states"] is not None:
            if not path.exists() or checksum(path) != first["states"]:
                raise OneshotError("its hidden states are damaged", where=self.shard_path(number), fix=AGAIN)
            states = iter(load(path.read_bytes())["states"])
        groups = []
        for row in rows:
            paths = [_path_of(found) for found in row["paths"]]
            kept = [dataclasses.replace(path, state=next(states, None)) for path in paths]
            groups.append(PathGroup(Problem(**row["problem"]), kept))
        return groups

    def groups(self) -> list[PathGroup]:
        """All groups, in the problems' order.

        Raises:
            OneshotError: nothing was collected, or not all yet.
        """
        count = self.record["shards"]
        for number in range(count):
            if not self.shard_path(number).exists():
                raise OneshotError(
                    f"{number} of {count} shards are there", where=self.path, fix="Run `oneshot paths collect` again."
                )
        return [group for number in range(count) for group in self.shard(number)]


def _path_of(row: Row) -> ReasoningPath:
    lists: Row = {name: tuple(row[name]) for name in ("logprobs", "entropies")}
    return ReasoningPath(**{**row, **lists})


_OUTCOMES = {None: "unscorable", 1.0: "correct", 0.0: "wrong"}
COLUMNS = ("question", "solution", "answer", "given", "right", "id")


def read_solutions(path: Path, columns: Mapping[str, str] | None = None) -> list[PathGroup]:
    """Anyone's solutions, not graded: jsonl rows with `question` and `solution` (a text, or a list of them).

    `answer` is the gold where it is known, `given` a score of each solution, `right` its verdict if that is not to be
    graded, `id` the problem's. `columns` says what these are called in the file. Rows with one question are one group.

    Raises:
        OneshotError: a row lacks one of them, or has another type there; file and row are named.
    """
    for name in columns or {}:
        if name not in COLUMNS:
            raise OneshotError(f"there is no column {name!r}", where="--columns", fix=nearest(name, list(COLUMNS)))
    named = {name: (columns or {}).get(name, name) for name in COLUMNS}
    questions: dict[str, Problem] = {}
    found: dict[str, list[ReasoningPath]] = {}
    for number, row in rows_of_jsonl(path):
        where = f"{path}, row {number}"
        question, answer = row.get(named["question"]), row.get(named["answer"], "")
        texts = row.get(named["solution"])
        texts = texts if isinstance(texts, list) else [texts]
        scores = _numbers(row.get(named["given"]), len(texts), where)
        verdicts = [v and float(v > 0) for v in _numbers(row.get(named["right"]), len(texts), where)]
        fix = "Each row needs question and solution; --columns says what they are called."
        if not isinstance(question, str) or not question.strip() or not _whole(question):
            raise OneshotError(f"{named['question']!r} is not a text", where=where, fix=fix)
        if not texts or not all(isinstance(text, str) and _whole(text) for text in texts):
            raise OneshotError(f"{named['solution']!r} is not a text, or a list of texts", where=where, fix=fix)
        if not isinstance(answer, str | int | float):
            raise OneshotError("`answer` is not a text", where=where, fix="Give the gold as text, or leave it out.")
        known = questions.get(question)
        name = str(row.get(named["id"], f"row {number}"))
        if known is None or not known.answer:
            questions[question] = Problem(
                known.id if known else name, question, str(answer), path.name, level=_level(row)
            )
        found.setdefault(question, []).extend(
            ReasoningPath(text, tokens=len(text.split()), outcome=_OUTCOMES[verdict], given=score)
            for text, score, verdict in zip(texts, scores, verdicts, strict=True)
        )
    if not questions:
        raise OneshotError("it has no rows", where=path, fix="Each row needs question and solution.")
    return [PathGroup(problem, found[question]) for question, problem in questions.items()]


def _whole(text: str) -> bool:
    """Whether it holds no half of a character."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _level(row: Row) -> str | None:
    level = row.get("level")
    return str(level) if isinstance(level, str | int) else None


def _numbers(value: Any, count: int, where: str) -> list[float | None]:
    """A score of each solution, each alone in a list or not; none of None."""
    if value is None:
        return [None] * count
    values = value if isinstance(value, list) else [value]
    flat = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
    if len(flat) != count or not all(isinstance(v, int | float) and math.isfinite(v) for v in flat):
        raise OneshotError(f"not one finite score for each of {count} solutions", where=where, fix="Mend the row.")
    return [float(v) for v in flat]
