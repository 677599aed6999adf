"""Records that show when they were damaged or edited: each carries, as `checksum`, the CRC-32 of the rest of it.

What the first edition wrote carries none and is read as it is; so is what somebody edited on purpose, once its
`checksum` is deleted.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import read_json, read_jsonl, read_rows, write_json, write_rows

Row = dict[str, Any]
KEY = "checksum"
_SEAL = re.compile(r"crc32:[0-9a-f]{8}")


def sealed(record: Row) -> Row:
    """The record with its checksum."""
    return {**record, KEY: _crc(record)}


def unsealed(record: Row, path: Path, fix: str) -> Row:
    """The record without its checksum, which must be right if there is one.

    Raises:
        OneshotError: it is not; names the file and says `fix`.
    """
    seal = record.get(KEY)
    rest = {key: value for key, value in record.items() if key != KEY}
    lost = any(isinstance(value, str) and _SEAL.fullmatch(value) for value in rest.values())
    if lost or (seal is not None and seal != _crc(rest)):
        meant = f"If you changed it on purpose, delete its `{KEY}`."
        raise OneshotError("it was damaged or edited after it was written", where=path, fix=f"{fix} {meant}")
    return rest


def write_record(path: Path, record: Row) -> None:
    """A sealed JSON object, written whole."""
    write_json(path, sealed(record))


def begin_record(path: Path, record: Mapping[str, Any], says: str) -> None:
    """Write what is asked of a folder, or see that it was asked before; `says` begins what is said of a difference.

    Raises:
        OneshotError: something else was asked.
    """
    wanted = json.loads(json.dumps(record))
    if not path.exists():
        write_record(path, wanted)
        return
    known = read_record(path, "Give another --out.")
    for key in sorted({*wanted, *known}):
        if known.get(key) != wanted.get(key):
            raise OneshotError(
                f"{says} {key}={str(known.get(key))[:80]}, not {str(wanted.get(key))[:80]}",
                where=path.parent,
                fix="Give another --out.",
            )


def read_record(path: Path, fix: str = "Is this a run folder made by `oneshot train`?") -> Row:
    """What `write_record` wrote.

    Raises:
        OneshotError: it is missing, no JSON object, or not what was written; `fix` says what to do.
    """
    found = read_json(path, fix)
    if not isinstance(found, dict):
        raise OneshotError("it is damaged", where=path, fix=fix)
    return unsealed(found, path, fix)


def write_sealed_rows(path: Path, rows: Iterable[Row]) -> None:
    """Rows as jsonl under zstandard, with their checksum as a last row."""
    kept = list(rows)
    write_rows(path, [*kept, {KEY: _crc(kept)}])


def read_sealed_rows(path: Path, fix: str) -> list[Row]:
    """The rows that `write_sealed_rows` wrote.

    Raises:
        OneshotError: the file is missing, or not what was written; `fix` says what to do.
    """
    rows = read_rows(path, fix)
    last = rows[-1] if rows and isinstance(rows[-1], dict) and len(rows[-1]) == 1 else {}
    seals = [value for value in last.values() if isinstance(value, str) and _SEAL.fullmatch(value)]
    if KEY in last or seals:
        rows = rows[:-1]
        if last != {KEY: _crc(rows)}:
            raise OneshotError("it was damaged or edited after it was written", where=path, fix=fix)
    return rows


def read_sealed_lines(path: Path, fix: str) -> list[Any]:
    """The lines of a jsonl file that grew line by line, each of them sealed.

    Raises:
        OneshotError: a line is damaged or was edited; `fix` says what to do.
    """
    lines: Sequence[Any] = read_jsonl(path, fix)
    return [unsealed(line, path, fix) if isinstance(line, dict) else line for line in lines]


def _crc(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"crc32:{zlib.crc32(text.encode()):08x}"
