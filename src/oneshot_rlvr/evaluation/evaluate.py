"""Evaluate models on suites under a protocol; keep what was sampled, so that nothing is sampled twice.

The unit of work is one model on a slice of one suite. Its transcript is a file named by a hash of everything that it
depends on; slices are fixed, so an interrupted evaluation goes on where it stopped, with the same result to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zstandard

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.protocols import Protocol, Sampling
from oneshot_rlvr.evaluation.sampling import refuse_too_long, sample_problems
from oneshot_rlvr.evaluation.scoring import average_score, grade_rows, rates_of, score_rows
from oneshot_rlvr.grading import Grader
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.problems import Problem, Template, get_template
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.rundir import write_atomically
from oneshot_rlvr.telemetry import REFLECTION_WORDS, mean

Row = dict[str, Any]
UNIT_ROLLOUTS = 512  # responses of a unit of work


@dataclass(frozen=True)
class Unit:
    """A slice of a suite's problems, how it is sampled, and where its transcript is."""

    suite: str
    problems: Sequence[Problem]
    sampling: Sampling
    path: Path


@dataclass
class Evaluator:
    """Scores models on suites. `suites` maps names to problems, transcripts go to `folder`, `subject` names whose."""

    suites: Mapping[str, Sequence[Problem]]
    template: Template
    protocol: Protocol
    folder: Path
    kv_cache_gib: float = 8.0
    words: Sequence[str] = REFLECTION_WORDS
    subject: str = ""

    def named(self, template: str | None) -> Template:
        """A template by name; the evaluation's own if none is named."""
        return self.template if template is None or template == self.template.name else get_template(template)

    def units(self, model_hash: str, template: Template) -> list[Unit]:
        """All units of one model, asked with a template."""
        return [unit for suite in self.suites for unit in self._units_of(suite, model_hash, template)]

    def _units_of(self, suite: str, model_hash: str, template: Template) -> list[Unit]:
        problems, sampling = self.suites[suite], self.protocol.sampling_of(suite)
        size = max(1, UNIT_ROLLOUTS // sampling.samples)
        found = []
        for part in (problems[start : start + size] for start in range(0, len(problems), size)):
            asked = [(problem.id, problem.question) for problem in part]
            key = fold(model_hash, repr(asked), repr(template), repr(sampling))
            found.append(Unit(suite, part, sampling, self.folder / "transcripts" / f"{key:016x}.jsonl.zst"))
        return found

    def sample(
        self,
        model_hash: str,
        load: Callable[[], Policy],
        template: Template,
        on_unit: Callable[[str], None] | None = None,
    ) -> None:
        """Sample the units that have no transcript. `load` is called only if there are any.

        Raises:
            OneshotError: a suite none of whose prompts leaves room for a response.
        """
        policy = None
        for unit in self.units(model_hash, template):
            if not unit.path.exists():
                if policy is None:
                    policy = load()
                    for suite, problems in self.suites.items():
                        refuse_too_long(policy, problems, template, self.protocol.sampling_of(suite).max_new_tokens)
                rows = sample_problems(policy, unit.problems, template, unit.sampling, self.kv_cache_gib)
                write_rows(unit.path, rows)
            if on_unit is not None:
                on_unit(unit.suite)

    def rows(self, model_hash: str, grader: Grader, template: Template) -> dict[str, list[Row]]:
        """One model's graded rows by suite, from its transcripts."""
        rows_of: dict[str, list[Row]] = {suite: [] for suite in self.suites}
        for unit in self.units(model_hash, template):
            rows_of[unit.suite] += grade_rows(read_rows(unit.path), unit.problems, grader)
        return rows_of

    def scores(self, rows_of: Mapping[str, Sequence[Row]]) -> dict[str, Row]:
        """Scores by suite, and their "average"."""
        scores = {suite: score_rows(rows, self.words) for suite, rows in rows_of.items()}
        return scores | {"average": average_score(rows_of, scores)}

    def grader(self, template: Template) -> Grader:
        """A grader for the template under the protocol's rules."""
        return Grader(template, mode=self.protocol.mode, fallback=self.protocol.fallback)

    @property
    def record(self) -> Row:
        """What was asked, for the folder of scores."""
        asked = {name: [(p.id, p.question, p.answer) for p in problems] for name, problems in self.suites.items()}
        suites = {name: {"n": len(rows), "hash": f"{fold(repr(rows)):016x}"} for name, rows in asked.items()}
        protocol = json.loads(json.dumps(asdict(self.protocol)))
        del protocol["says"]
        return {
            "subject": self.subject,
            "protocol": protocol,
            "template": self.template.name,
            "suites": suites,
            "reflection_words": list(self.words),
        }


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """A transcript."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(path, zstandard.compress(text.encode()))


def read_rows(path: Path) -> list[Row]:
    """A transcript's rows.

    Raises:
        OneshotError: it is missing or damaged.
    """
    try:
        return [json.loads(line) for line in zstandard.decompress(path.read_bytes()).splitlines()]
    except (OSError, zstandard.ZstdError, ValueError) as error:
        raise OneshotError(
            f"cannot read this transcript ({error})", where=path, fix="Delete it and run `oneshot eval` again."
        ) from error


def make_validator(
    problems: Sequence[Problem], template: Template, sampling: Sampling, kv_cache_gib: float, mode: str = "default"
) -> Callable[[Policy, int], dict[str, float]]:
    """A training callback: accuracy on held-out problems, by which the best checkpoint is chosen."""
    grader = Grader(template, mode=mode)

    def validate(policy: Policy, step: int) -> dict[str, float]:
        rows = grade_rows(sample_problems(policy, problems, template, sampling, kv_cache_gib), problems, grader)
        return {f"validation/avg@{sampling.samples}": 100 * mean(rates_of(rows))}

    return validate
