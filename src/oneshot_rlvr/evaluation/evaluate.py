"""Evaluate models on suites under a protocol; keep what was sampled, so that nothing is sampled twice.

The unit of work is one model on a slice of one suite. Its transcript is a file named by a hash of everything that it
depends on; slices are fixed, so an interrupted evaluation goes on where it stopped, with the same result to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from oneshot_rlvr.config import Config
from oneshot_rlvr.evaluation.protocols import Protocol, Sampling
from oneshot_rlvr.evaluation.sampling import refuse_too_long, sample_problems
from oneshot_rlvr.evaluation.scoring import average_score, grade_rows, rates_of, score_rows
from oneshot_rlvr.files import checksum_of
from oneshot_rlvr.grading import Grader
from oneshot_rlvr.grading.features import REFLECTION_WORDS, mean
from oneshot_rlvr.grading.pool import standing_pool
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.policy.model import is_small
from oneshot_rlvr.problems import Problem, Template, encode_prompt, get_template, to_jsonl
from oneshot_rlvr.rollout import Sampler, make_sampler
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.runs import EvaluationFolder, ModelScores

Row = dict[str, Any]
UNIT_ROLLOUTS, SLOW_ROLLOUTS = 512, 200  # responses of a unit of work; of a large model on a CPU: fewer is slower


@dataclass(frozen=True)
class WorkUnit:
    """A slice of a suite's problems, how it is sampled, and where its transcript is."""

    suite: str
    problems: Sequence[Problem]
    sampling: Sampling
    path: Path

    @property
    def calls(self) -> list[tuple[int, int]]:
        """(Responses, their most tokens) of each call of a sampler."""
        most, count = self.sampling.max_new_tokens, len(self.problems)
        return [(count * self.sampling.samples, most), *([(count, most)] if self.sampling.greedy else [])]


@dataclass
class Evaluator:
    """Scores models on suites. `suites` maps names to problems, transcripts go to `folder`, `subject` names whose.

    `config` is the run's or the model's: its sampler samples here too, under the protocol's settings.
    """

    suites: Mapping[str, Sequence[Problem]]
    template: Template
    protocol: Protocol
    folder: EvaluationFolder
    config: Config = field(default_factory=Config)
    words: Sequence[str] = REFLECTION_WORDS
    subject: str = ""
    unit: int | None = None  # rollouts of a unit; None for what suits this machine
    _kept: Sampler | None = field(default=None, init=False, repr=False, compare=False)

    def named(self, template: str | None) -> Template:
        """A template by name; the evaluation's own if none is named."""
        return self.template if template is None or template == self.template.name else get_template(template)

    def sampling_of(self, suite: str) -> Sampling:
        """How a suite is sampled: as the protocol says, stopped where the model's configuration says."""
        own = self.config.sampling
        return replace(self.protocol.sampling_of(suite), stop_ids=own.stop_ids, stop_strings=own.stop_strings)

    @property
    def unit_here(self) -> int:
        """Rollouts of a unit that suit this machine."""
        model = self.config.model
        on_gpu = model.device != "cpu" and torch.cuda.is_available()
        return UNIT_ROLLOUTS if on_gpu or is_small(model) else SLOW_ROLLOUTS

    def units(self, model_hash: str, template: Template) -> list[WorkUnit]:
        """All units of one model, asked with a template. Fixed, but for a large model's kind of device."""
        return [unit for suite in self.suites for unit in self._units_of(suite, model_hash, template)]

    def _units_of(self, suite: str, model_hash: str, template: Template) -> list[WorkUnit]:
        problems, sampling = self.suites[suite], self.sampling_of(suite)
        size = max(1, (self.unit or self.unit_here) // sampling.samples)
        turn_end = template.turn_end or (template.text is None and "chat")
        sampler = self.config.sampling.sampler
        own = (sampling.stop_ids, sampling.stop_strings, turn_end, "" if sampler == "lockstep" else sampler)
        own = (*own, template.shots and (template.shots, template.between))
        own = (*own, (template.system or template.jinja) and (template.system, template.jinja))
        stops = [repr(stop) for stop in own if stop]
        found = []
        for part in (problems[start : start + size] for start in range(0, len(problems), size)):
            asked = [(problem.id, problem.question) for problem in part]
            key = fold(model_hash, repr(asked), repr(template), repr(sampling), *stops)
            found.append(WorkUnit(suite, part, sampling, self.folder.transcript_path(f"{key:016x}.jsonl.zst")))
        return found

    def sample(
        self,
        model_hash: str,
        load: Callable[[], Policy],
        template: Template,
        on_unit: Callable[[str], None] | None = None,
        on_tokens: Callable[[str, int], None] | None = None,
    ) -> None:
        """Sample the units that have no transcript. `load` is called only if there are any.

        `on_unit` hears each unit's suite once it is there, `on_tokens` of the tokens drawn for a suite meanwhile.

        Raises:
            OneshotError: a suite none of whose prompts leaves room for a response.
        """
        policy, sampler = None, None
        for unit in self.units(model_hash, template):
            if not unit.path.exists():
                if policy is None:
                    policy = load()
                    sampler = self._sampler_of(policy, template)
                    for suite, problems in self.suites.items():
                        refuse_too_long(policy, problems, template, self.sampling_of(suite).max_new_tokens)
                assert sampler is not None
                if on_tokens is not None:
                    sampler.on_tokens = partial(on_tokens, unit.suite)
                rows = sample_problems(sampler, policy, unit.problems, template, unit.sampling)
                self.folder.write_transcript(unit.path.name, rows)
            if on_unit is not None:
                on_unit(unit.suite)

    def _sampler_of(self, policy: Policy, template: Template) -> Sampler:
        """A sampler of this policy, long enough for every suite; a costly one serves all that this evaluation meets."""
        if self._kept is not None:
            self._kept.update(policy)
            return self._kept
        asked = [(suite, problem) for suite, problems in self.suites.items() for problem in problems]
        longest = max(
            len(encode_prompt(template, problem.question, policy.tokenizer)) + self.sampling_of(suite).max_new_tokens
            for suite, problem in asked
        )
        sampler = make_sampler(policy, self.config, longest)
        self._kept = sampler if sampler.costly else None
        return sampler

    def rows(self, model_hash: str, grader: Grader, template: Template) -> dict[str, list[Row]]:
        """One model's graded rows by suite, from its transcripts."""
        rows_of: dict[str, list[Row]] = {suite: [] for suite in self.suites}
        for unit in self.units(model_hash, template):
            rows_of[unit.suite] += grade_rows(self.folder.transcript(unit.path.name), unit.problems, grader)
        return rows_of

    def scores(self, rows_of: Mapping[str, Sequence[Row]]) -> ModelScores:
        """Scores by suite, and over them."""
        return model_scores(rows_of, self.words)

    def grader(self, template: Template) -> Grader:
        """A grader for the template under the protocol's rules."""
        return Grader(template, mode=self.protocol.mode, fallback=self.protocol.fallback, workers=standing_pool())

    @property
    def record(self) -> Row:
        """What was asked, for the folder of scores."""
        suites = {name: suite_record(problems) for name, problems in self.suites.items()}
        protocol = json.loads(json.dumps(asdict(self.protocol)))
        del protocol["says"]
        for sampling in (protocol["sampling"], *protocol["by_suite"].values()):
            for name in ("stop_ids", "stop_strings"):  # the model's, not the protocol's
                del sampling[name]
        own = self.config.sampling
        stops = {"stop_ids": list(own.stop_ids), "stop_strings": list(own.stop_strings)}
        return {
            "subject": self.subject,
            "protocol": protocol,
            "template": self.template.name,
            "suites": suites,
            "files": {name: checksum_of(to_jsonl(problems)) for name, problems in self.suites.items()},
            "reflection_words": list(self.words),
            **{name: stop for name, stop in stops.items() if stop},
        }


def suite_record(problems: Sequence[Problem]) -> Row:
    """What an evaluation's record says of a suite's problems."""
    rows = [(problem.id, problem.question, problem.answer) for problem in problems]
    return {"n": len(rows), "hash": f"{fold(repr(rows)):016x}"}


def model_scores(rows_of: Mapping[str, Sequence[Row]], words: Sequence[str]) -> ModelScores:
    """Scores of graded rows by suite, and over them."""
    scores = {suite: score_rows(rows, words) for suite, rows in rows_of.items()}
    return ModelScores(scores, average_score(rows_of, scores))


def make_validator(
    problems: Sequence[Problem], template: Template, sampling: Sampling, mode: str = "default"
) -> Callable[[Policy, Sampler, int], dict[str, float]]:
    """A training callback: accuracy on held-out problems, by which the checkpoint that counts is chosen."""
    grader = Grader(template, mode=mode, workers=standing_pool())

    def validate(policy: Policy, sampler: Sampler, step: int) -> dict[str, float]:
        rows = grade_rows(sample_problems(sampler, policy, problems, template, sampling), problems, grader)
        return {f"validation/avg@{sampling.samples}": 100 * mean(rates_of(rows))}

    return validate
