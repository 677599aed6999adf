"""The folder of an evaluation.

`protocol.json` (what was asked), `suites/` (the problems), `index.json` (each checkpoint's weights and transcripts),
`transcripts/`, `scores.json`, `baselines.json` (the base under other templates), `summary.json`, `examples.json`.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from oneshot_rlvr.rundir import RunDir, read_json, write_json

log = logging.getLogger(__name__)
Row = dict[str, Any]
Scores = dict[str, dict[str, Row]]
DEFAULT = "honest"
OF_ONE_PROTOCOL = ("index.json", "scores.json", "baselines.json", "summary.json", "examples.json")


def folder_name(protocol: str) -> str:
    """The folder of a protocol's evaluation."""
    return "eval" if protocol == DEFAULT else f"eval-{protocol}"


def evaluation_of(path: Path, protocol: str | None = None) -> Path:
    """A run's evaluation: that of the protocol, else the default one's, else the newest; any other folder as it is."""
    if not RunDir(path).started:
        return path
    if protocol is not None or (path / "eval" / "scores.json").exists():
        return path / folder_name(protocol or DEFAULT)
    found = sorted(path.glob("eval-*/scores.json"), key=lambda file: file.stat().st_mtime)
    return found[-1].parent if found else path / "eval"


def read_scores(out: Path) -> Scores:
    """An evaluation's scores: of the base and the steps, then of the base under other templates."""
    files = [path for path in (out / "scores.json", out / "baselines.json") if path.exists()]
    return {name: score for path in files for name, score in read_json(path).items()}


def write_scores(out: Path, scores: Scores, index: dict[str, Row]) -> None:
    """The scores, then what they were made from: a kill in between makes them be graded again."""
    for file, others in (("scores.json", False), ("baselines.json", True)):
        part = {name: score for name, score in sorted(scores.items()) if ("@" in name) == others}
        if part:
            write_json(out / file, part)
    write_json(out / "index.json", dict(sorted(index.items())))


def open_store(out: Path, record: Row) -> tuple[Scores, dict[str, Row]]:
    """The scores that stay and their index; what was asked otherwise is forgotten, but for the transcripts."""
    if (out / "protocol.json").exists() and read_json(out / "protocol.json") != record:
        if (out / "scores.json").exists():
            log.warning("%s held scores of other questions; they make way (transcripts stay)", out)
        for name in OF_ONE_PROTOCOL:
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / "lm_eval", ignore_errors=True)
    write_json(out / "protocol.json", record)
    index = read_json(out / "index.json") if (out / "index.json").exists() else {}
    return {name: score for name, score in read_scores(out).items() if name in index}, index


def file_name(suite: str) -> str:
    """A suite's name as a file name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in suite)
