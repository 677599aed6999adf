"""Read problems from jsonl, CSV and parquet (verl's schema, or plain columns).

Every refusal names the file and the row (counted from 1, a CSV's header not counted).
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems.answers import after_hash, last_boxed
from oneshot_rlvr.problems.problem import Problem, to_jsonl
from oneshot_rlvr.problems.templates import strip_instruction

# The column names under which public sets keep each field, best first.
QUESTION = ("question", "problem")
ANSWER = ("answer", "final_answer", "ground_truth", "gold", "target")
OWN_INFO = ("index", "level", "subject", "solution", "unique_id")
IDENTIFIER = ("id", "unique_id", "index", "idx")
CATEGORY = ("category", "subject", "subfield", "type")
SKIP = "Fill it in, remove the row, or pass --set data.skip_bad_rows=true."
ABILITY = "math"  # of every released row in verl's schema
END_OF_TEXT = "</s>"  # of a tokenizer, left at the end of answers in notbadai/math_reasoning
LETTERS = "ABCDEFGHIJ"  # of multiple choices
USED = {*QUESTION, *ANSWER, *IDENTIFIER, *CATEGORY, "level", "solution", "source", "extra"}

Row = dict[str, Any]
log = logging.getLogger(__name__)


def load_problems(path: str | Path, skip_bad_rows: bool = False, unlabelled: bool = False) -> list[Problem]:
    """All problems of a file, in its order; with `skip_bad_rows`, without the rows that lack a question or an answer.

    A parquet file in verl's schema may repeat one row (the released `pi1_r128.parquet` holds one row 128 times); exact
    repeats become one problem with `extra["copies"]`, since a step's number of groups is the configuration's. A row of
    verl's schema without a gold, as the released `dsr_sub.parquet` has one, is left out, and named in the log. With
    `unlabelled`, an empty answer is no fault: such a problem can be ranked, not trained on.

    Raises:
        OneshotError: missing, unreadable or empty file, a row without question or answer, or a duplicate id.
    """
    path = Path(path)
    return from_rows(read_rows(path), str(path), path.stem, skip_bad_rows, unlabelled)


def read_rows(path: Path) -> list[tuple[int, Row]]:
    """A problem file's rows and their numbers, from 1.

    Raises:
        OneshotError: missing or unreadable file, or a row that is none.
    """
    if path.suffix not in READERS:
        raise OneshotError(
            f"cannot read {path.suffix or 'this kind of'} files", where=path, fix="Use .jsonl, .csv or .parquet."
        )
    if not path.is_file():
        raise OneshotError("no such problem file", where=path, fix="Check the path.")
    try:
        return list(READERS[path.suffix](path))
    except (OSError, UnicodeDecodeError) as error:
        raise OneshotError(f"cannot read it: {error}", where=path, fix="Give a readable UTF-8 file.") from error


def from_rows(
    numbered: Iterable[tuple[int, Row]], where: str, stem: str, skip_bad_rows: bool = False, unlabelled: bool = False
) -> list[Problem]:
    """Problems of numbered rows, as `load_problems` has them; `where` names the rows' origin in messages.

    Raises:
        OneshotError: no rows, a row without question or answer, or a duplicate id.
    """
    problems: dict[str, Problem] = {}
    rows: dict[str, tuple[int, Row]] = {}
    left_out: list[int] = []
    for number, row in numbered:
        try:
            here = f"{where}, row {number}"
            problem = _problem(row, here, stem, number)
            if not (unlabelled or problem.answer.strip()) and _is_verl(row):
                left_out.append(number)
                continue
            _check(problem, here, unlabelled)
        except OneshotError:
            if skip_bad_rows:
                left_out.append(number)
                continue
            raise
        if problem.id in problems:
            first, earlier = rows[problem.id]
            if not (_is_verl(row) and row == earlier):
                raise OneshotError(
                    f"id {problem.id!r} is already used by row {first}",
                    where=f"{where}, row {number}",
                    fix="Give every problem an id of its own.",
                )
            problems[problem.id].extra["copies"] = problems[problem.id].extra.get("copies", 1) + 1
            continue
        problems[problem.id] = problem
        rows[problem.id] = (number, row)
    if not problems:
        raise OneshotError("the file holds no problem", where=where, fix="Add at least one row.")
    if left_out:
        log.warning(
            "%s: %d rows left out (row %d first), %d problems", where, len(left_out), left_out[0], len(problems)
        )
    return list(problems.values())


def rows_of_jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    """The objects of a jsonl file and their lines' numbers, from 1.

    Raises:
        OneshotError: a line is no JSON object; file and row are named.
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:  # no JSON, integers beyond reason, or a nest of lists
                raise OneshotError(
                    f"not JSON: {error}", where=f"{path}, row {number}", fix="One object a line."
                ) from error
            if not isinstance(row, dict):
                raise OneshotError("not a JSON object", where=f"{path}, row {number}", fix="One object a line.")
            yield number, row


def _csv(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            for number, row in enumerate(reader, 1):
                if None in row or None in row.values():
                    raise OneshotError(
                        "the row has not as many cells as the header",
                        where=f"{path}, row {number}",
                        fix="Put quotes around cells with commas.",
                    )
                yield number, {str(key).strip(): value for key, value in row.items()}
        except csv.Error as error:
            raise OneshotError(
                f"not CSV: {error}", where=f"{path}, line {reader.line_num}", fix="Check quotes."
            ) from error


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise OneshotError(f"not a parquet file: {error}", where=path, fix="Write it again.") from error
    yield from enumerate(rows, 1)


READERS = {".jsonl": rows_of_jsonl, ".csv": _csv, ".parquet": _parquet}


def _is_verl(row: Row) -> bool:
    return isinstance(row.get("reward_model"), dict) and "prompt" in row


def _problem(row: Row, where: str, stem: str, number: int) -> Problem:
    if _is_verl(row):
        return _verl_problem(row, where, stem, number)
    return _plain_problem(_as_question(row, where) if "answerKey" in row else row, where, stem, number)


def _as_question(row: Row, where: str) -> Row:
    """A multiple-choice row in ARC's schema (labels A to E, or 1 to 5) as a question whose answer is a letter."""
    choices, key, question = row.get("choices"), _text(row["answerKey"]), _text(_first(row, QUESTION))
    texts, labels = (choices.get(name) or [] for name in ("text", "label")) if isinstance(choices, dict) else ([], [])
    labels = [_text(label) for label in labels]
    if not question.strip() or key not in labels or len(labels) != len(texts) or len(labels) > len(LETTERS):
        raise OneshotError(
            "not a multiple-choice row",
            where=where,
            fix=f"Give a question, up to {len(LETTERS)} choices {{text, label}}, and an answerKey among the labels.",
        )
    lines = [f"{letter}. {_text(text)}" for letter, text in zip(LETTERS, texts, strict=False)]
    asked = "\n".join([question, *lines, "Answer with the letter of the right choice."])
    rest = {name: value for name, value in row.items() if name not in ("choices", "answerKey")}
    return rest | {"question": asked, "answer": LETTERS[labels.index(key)], "choices_text": list(texts)}


def _verl_problem(row: Row, where: str, stem: str, number: int) -> Problem:
    """A row of verl's schema: one user turn, gold in `reward_model`, index in `extra_info`."""
    turns = row["prompt"]
    if not isinstance(turns, list) or [isinstance(t, dict) and t.get("role") for t in turns] != ["user"]:
        raise OneshotError("`prompt` must be a list of one user turn", where=where, fix="Give the bare question.")
    info = row.get("extra_info")
    info = info if isinstance(info, dict) else {}
    question, instruction = strip_instruction(_text(turns[0].get("content")))
    extra = _as_json(
        {key: value for key, value in info.items() if value is not None and key not in OWN_INFO}  # a table fills rows
    )
    if instruction:
        extra["instruction"] = instruction
        if not _text(turns[0]["content"]).endswith(f" {instruction}"):
            extra["joined"] = True
    if _text(row.get("ability")) not in ("", ABILITY):
        extra["ability"] = _text(row["ability"])
    return Problem(
        id=_text(info.get("index", number - 1)),
        question=question,
        answer=_text(row["reward_model"].get("ground_truth")),
        source=_text(row.get("data_source")) or stem,
        category=_text(info.get("subject")) or None,
        level=_text(info.get("level")) or None,
        solution=_text(info.get("solution")) or None,
        extra=extra,
    )


def _plain_problem(row: Row, where: str, stem: str, number: int) -> Problem:
    """A row with a question and an answer column under one of their usual names."""
    question, answer = _first(row, QUESTION), _first(row, ANSWER)
    if answer is None and isinstance(row.get("solution"), str):  # Minerva boxes its answer in the solution
        answer = last_boxed(row["solution"])
    for field, value, choices in (("question", question, QUESTION), ("answer", answer, ANSWER)):
        if value is None:
            raise OneshotError(
                f"no {field}; the row has {', '.join(row)}", where=where, fix=f"Name it {' or '.join(choices)}."
            )
    if isinstance(answer, list):  # OlympiadBench keeps a list of one
        answer = answer[0] if len(answer) == 1 else None
    solution = _text(row.get("solution")) or None
    if isinstance(answer, str) and "####" in answer:  # GSM8K keeps the worked solution in front of the answer
        solution, answer = answer, after_hash(answer)
    identifier = _first(row, IDENTIFIER)
    extra = row.get("extra") if isinstance(row.get("extra"), dict) else {}
    return Problem(
        id=str(number - 1) if identifier is None else _text(identifier),
        question=_text(question).strip(),
        answer=_text(answer).removesuffix(END_OF_TEXT),
        source=_text(row.get("source")) or stem,
        category=_text(_first(row, CATEGORY)) or None,
        level=_text(row.get("level")) or None,
        solution=solution,
        extra=_as_json(dict(extra or {}) | {key: value for key, value in row.items() if key not in USED}),
    )


def _check(problem: Problem, where: str, unlabelled: bool) -> None:
    for field in ("id", "question") if unlabelled else ("id", "question", "answer"):
        if not getattr(problem, field).strip():
            raise OneshotError(f"the {field} is empty", where=where, fix=SKIP)
    try:
        to_jsonl([problem]).encode()
    except UnicodeEncodeError as error:
        raise OneshotError("it holds half a character (a lone surrogate)", where=where, fix=SKIP) from error


def _as_json(values: Row) -> Row:
    """The values as JSON has them: dates, decimals and bytes become text."""
    return json.loads(json.dumps(values, default=str))


def _first(row: Row, keys: tuple[str, ...]) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _text(value: Any) -> str:
    """Text of a cell; a whole float (AMC's 27.0) becomes its integer."""
    if value is None or value != value:  # NaN: a table's empty cell
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
