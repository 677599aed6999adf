"""The folder of an evaluation.

`protocol.json` (what was asked), `suites/` (the problems), `index.json` (each model's weights and transcripts),
`transcripts/`, `scores.json`, `baselines.json` (the base under other templates), `summary.json`, `examples.json`,
`lm_eval/`.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.files import checksum, locked, sweep, write_atomically
from oneshot_rlvr.problems import Problem, load_problems, to_jsonl
from oneshot_rlvr.runs.scores import Scores
from oneshot_rlvr.runs.shapes import ASKED, EXAMPLES, INDEX, SUMMARY, TRANSCRIPT, checked
from oneshot_rlvr.sealing import read_record, read_sealed_rows, write_record, write_sealed_rows

log = logging.getLogger(__name__)
Row = dict[str, Any]
DEFAULT = "honest"
AGAIN = "Delete it and run `oneshot eval` again."


@dataclass(frozen=True)
class EvaluationFolder:
    """One evaluation's files. Nothing need be there."""

    path: Path

    @staticmethod
    def name_of(protocol: str) -> str:
        """What a protocol's folder in a run is called."""
        return "eval" if protocol == DEFAULT else f"eval-{protocol}"

    @property
    def scores_path(self) -> Path:
        """Where the scores of the base and the checkpoints are."""
        return self.path / "scores.json"

    @property
    def summary_path(self) -> Path:
        """Where the summary of a run's scores is."""
        return self.path / "summary.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold it against other processes."""
        with locked(self.path, "evaluation folder"):
            sweep(self.path, *(self.path / name for name in ("transcripts", "suites", "lm_eval")))
            yield

    # What was asked

    def protocol(self) -> Row:
        """The record of what was asked; empty if nothing was."""
        return self._optional("protocol.json", ASKED) or {}

    def suites(self) -> dict[str, list[Problem]]:
        """The problems by suite.

        Raises:
            OneshotError: a file that is missing, or not what was written.
        """
        record = self.protocol()
        for name, known in record.get("files", {}).items():
            path = self._suite_path(name)
            if path.exists() and checksum(path) != known:
                raise OneshotError("it was damaged or edited after it was written", where=path, fix=AGAIN)
        return {name: load_problems(self._suite_path(name)) for name in record["suites"]}

    def write_suite(self, name: str, problems: Sequence[Problem]) -> None:
        """Keep a suite's problems."""
        write_atomically(self._suite_path(name), to_jsonl(problems))

    def _suite_path(self, name: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        return self.path / "suites" / f"{safe}.jsonl"

    # What was found

    def transcript_path(self, name: str) -> Path:
        """A file of sampled responses."""
        return self.path / "transcripts" / name

    def transcript(self, name: str) -> list[Row]:
        """The responses of a file.

        Raises:
            OneshotError: it is missing or damaged.
        """
        path = self.transcript_path(name)
        return checked(TRANSCRIPT, read_sealed_rows(path, AGAIN), path, AGAIN)

    def rows(self, model: str) -> list[Row]:
        """What one model of this evaluation answered: `base`, or `step_000100`; a row a problem.

        Raises:
            OneshotError: it has not been evaluated here.
        """
        index = self.index()
        if model not in index:
            raise OneshotError(f"no {model!r} was evaluated", where=self.path, fix=nearest(model, list(index)))
        files = [name for names in index[model]["transcripts"].values() for name in names]
        return [row for name in files for row in self.transcript(name)]

    def write_transcript(self, name: str, rows: Sequence[Row]) -> None:
        """Keep a file of sampled responses."""
        write_sealed_rows(self.transcript_path(name), rows)

    def adopt(self, other: EvaluationFolder) -> None:
        """Take over another evaluation's transcripts: their names say everything that they depend on."""
        for path in (other.path / "transcripts").glob("*.zst"):
            if not self.transcript_path(path.name).exists():
                write_atomically(self.transcript_path(path.name), path.read_bytes())

    def index(self) -> dict[str, Row]:
        """Each model's weights, template and transcripts."""
        return self._optional("index.json", INDEX) or {}

    def scores(self) -> Scores:
        """What has been scored.

        Raises:
            OneshotError: a damaged file, or a missing one.
        """
        found = self._scores()
        if found and not self.protocol():
            raise OneshotError("protocol.json is missing", where=self.path, fix="Run `oneshot eval` again.")
        if missing := sorted(set(self.index()) - set(found.labelled())):
            raise OneshotError(
                f"the scores of {', '.join(missing)} are missing", where=self.path, fix="Run `oneshot eval` again."
            )
        return found

    def _scores(self) -> Scores:
        files = [self._optional(name) or {} for name in ("scores.json", "baselines.json")]
        try:
            return Scores.from_json(*files)
        except ValueError as error:
            raise OneshotError(
                f"the scores are damaged: {error}", where=self.scores_path, fix="Run `oneshot eval` again."
            ) from error

    def write_scores(self, scores: Scores, index: dict[str, Row]) -> None:
        """The scores, then what they were made from: a kill in between makes them be graded again."""
        for name, rows in zip(("scores.json", "baselines.json"), scores.to_json(), strict=True):
            if rows:
                write_record(self.path / name, rows)
        write_record(self.path / "index.json", dict(sorted(index.items())))

    def write_regraded(self, scores: Scores, rules: str) -> Path:
        """Scores under other rules than the evaluation's."""
        path = self.path / f"scores.{rules}.json"
        own, baselines = scores.to_json()
        write_record(path, own | baselines)
        return path

    def begin(self, record: Row) -> tuple[Scores, dict[str, Row]]:
        """The scores that stay and their index; what was asked otherwise is forgotten, but for the transcripts."""
        before = self.protocol()
        if before and _asked(before) != _asked(record):
            if self.scores_path.exists():
                log.warning("%s held scores of other questions; they make way (transcripts stay)", self.path)
            for name in ("index.json", "scores.json", "baselines.json", "summary.json", "examples.json"):
                (self.path / name).unlink(missing_ok=True)
            shutil.rmtree(self.path / "lm_eval", ignore_errors=True)
        write_record(self.path / "protocol.json", record)
        index = self.index()
        kept = {name: found for name, found in self._scores().labelled().items() if name in index}
        return Scores.of(kept), index

    # What it says

    def summary(self) -> Row:
        """What a run's scores over steps say; empty if there is none."""
        return self._optional("summary.json", SUMMARY) or {}

    def write_summary(self, summary: Row) -> None:
        """Keep it."""
        write_record(self.summary_path, summary)

    def examples(self) -> Row | None:
        """The same problems answered before and after; None if there are none."""
        return self._optional("examples.json", EXAMPLES)

    def write_examples(self, examples: Row) -> None:
        """Keep them."""
        write_record(self.path / "examples.json", examples)

    def _optional(self, name: str, shape: TypeAdapter[Any] | None = None) -> Any:
        path = self.path / name
        if not path.exists():
            return None
        found = read_record(path, AGAIN)
        return found if shape is None else checked(shape, found, path, AGAIN)


def _asked(record: Row) -> Row:
    """A record without what a protocol would ask by default: what was asked is under `suites`."""
    protocol = {key: value for key, value in record.get("protocol", {}).items() if key != "suites"}
    rest = {key: value for key, value in record.items() if key != "files"}
    return {**rest, "protocol": protocol}
