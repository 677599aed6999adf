"""Sample a suite under a protocol, keep the transcript, grade it, score it.

A unit of work is one model on one suite under one protocol. Its transcript is stored under a hash of everything that
it depends on, so an interrupted evaluation goes on where it stopped and nothing is sampled twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zstandard

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.statistics import average_interval, mean_interval
from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.problems import Problem, Template, encode_prompt
from oneshot_rlvr.rollout import LockstepSampler, Prompt, Rollout, SamplingParams
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.rundir import write_atomically
from oneshot_rlvr.telemetry import boxes, mean, reflects

Row = dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """How to sample: one greedy response and `samples` at `temperature`."""

    samples: int = 8
    temperature: float = 0.6
    top_p: float = 1.0
    max_new_tokens: int = 3072
    greedy: bool = True
    seed: int = 0


@dataclass
class Evaluator:
    """Scores models on suites. `suites` maps names to problems; transcripts go to `folder`."""

    suites: Mapping[str, Sequence[Problem]]
    template: Template
    protocol: Protocol
    folder: Path
    kv_cache_gib: float = 8.0
    mode: str = "default"
    fallback: bool = False

    def evaluate(
        self, model_hash: str, load: Callable[[], Policy], on_suite: Callable[[str], None] = lambda name: None
    ) -> dict[str, Row]:
        """Scores of one model by suite, and their "average". `load` is called only if something must be sampled."""
        rows_of = self.rows(model_hash, load, on_suite)
        scores = {name: score_rows(rows, self.protocol) for name, rows in rows_of.items()}
        return scores | {"average": _average(rows_of, scores, self.protocol)}

    def rows(
        self, model_hash: str, load: Callable[[], Policy], on_suite: Callable[[str], None] = lambda name: None
    ) -> dict[str, list[Row]]:
        """One model's graded rows by suite; what has a transcript is not sampled again."""
        policy = None
        for name, problems in self.suites.items():
            path = self._transcript(model_hash, problems)
            if not path.exists():
                policy = policy or load()
                _write_rows(path, sample_suite(policy, problems, self.template, self.protocol, self.kv_cache_gib))
            on_suite(name)
        with self.grader() as grader:
            return {
                name: grade_rows(_read_rows(self._transcript(model_hash, problems)), problems, grader)
                for name, problems in self.suites.items()
            }

    def examples(self, model_hash: str, suite: str, count: int) -> list[Row]:
        """The first graded rows of a suite that has been evaluated."""
        problems = self.suites[suite]
        path = self._transcript(model_hash, problems)
        with self.grader() as grader:
            return grade_rows(_read_rows(path)[:count], problems[:count], grader)

    def grader(self) -> Grader:
        """A grader for the template and mode; the fallback is for evaluation alone."""
        return Grader(self.template, mode=self.mode, fallback=self.fallback)

    @property
    def record(self) -> Row:
        """What was asked, for the folder of scores."""
        suites = {name: len(problems) for name, problems in self.suites.items()}
        grading = {"mode": self.mode, "fallback": self.fallback}
        return {"protocol": asdict(self.protocol), "template": self.template.name, "grading": grading, "suites": suites}

    def _transcript(self, model_hash: str, problems: Sequence[Problem]) -> Path:
        asked = [(problem.id, problem.question) for problem in problems]
        key = fold(model_hash, repr(asked), repr(self.template), repr(self.protocol))
        return self.folder / "transcripts" / f"{key:016x}.jsonl.zst"


def sample_suite(
    policy: Policy, problems: Sequence[Problem], template: Template, protocol: Protocol, kv_cache_gib: float
) -> list[Row]:
    """A row a problem: its greedy response and its samples, ungraded. Prompts that leave no room get no response.

    Raises:
        OneshotError: no prompt at all leaves room for a response.
    """
    sampler = LockstepSampler(policy, kv_cache_gib)
    prompts = [
        Prompt(
            problem.id,
            tuple(encode_prompt(template, problem.question, policy.tokenizer)),
            fold(problem.id, problem.question),
        )
        for problem in problems
    ]
    fit = [p for p in prompts if policy.longest is None or len(p.ids) + protocol.max_new_tokens <= policy.longest]
    if not fit:
        room = (policy.longest or 0) - min(len(p.ids) for p in prompts)
        raise OneshotError(
            f"{protocol.max_new_tokens} new tokens leave no room for any prompt in the model's {policy.longest}",
            where=problems[0].source,
            fix=f"Pass --max-new-tokens {max(room, 1)} or less.",
        )
    params = SamplingParams(protocol.temperature, protocol.top_p, 0, protocol.max_new_tokens, (protocol.seed,))
    greedy = SamplingParams(0.0, max_new_tokens=protocol.max_new_tokens)
    samples = dict(zip((p.stream for p in fit), sampler.sample(fit, protocol.samples, params), strict=True))
    firsts = dict(zip((p.stream for p in fit), sampler.sample(fit, 1, greedy), strict=True)) if protocol.greedy else {}
    return [
        {
            "problem_id": prompt.problem_id,
            "samples": [_row(rollout) for rollout in samples.get(prompt.stream, [])],
            "greedy": [_row(rollout) for rollout in firsts.get(prompt.stream, [])],
        }
        for prompt in prompts
    ]


def _row(rollout: Rollout) -> Row:
    return {"text": rollout.text, "finish": rollout.finish, "tokens": len(rollout.response_ids)}


def grade_rows(rows: Sequence[Row], problems: Sequence[Problem], grader: Grader) -> list[Row]:
    """The rows with each response's outcome and extracted answer."""
    graded = []
    for row, problem in zip(rows, problems, strict=True):
        new: Row = {**row, "question": problem.question, "gold": problem.answer}
        for kind in ("samples", "greedy"):
            responses = [Response(r["text"], r["finish"], r["tokens"]) for r in row[kind]]
            grades = grader.grade(problem, responses)
            new[kind] = [
                {**r, "outcome": g.outcome, "extracted": g.extracted, "found": g.source}
                for r, g in zip(row[kind], grades, strict=True)
            ]
        graded.append(new)
    return graded


def rates_of(rows: Sequence[Row], kind: str) -> list[float]:
    """Each problem's share of correct responses; problems without a response count as 0."""
    return [mean([response["outcome"] == "correct" for response in row[kind]]) for row in rows]


def score_rows(rows: Sequence[Row], protocol: Protocol) -> Row:
    """Accuracies in percent with 95 % intervals, and what the responses look like."""
    rates, responses = rates_of(rows, "samples"), [response for row in rows for response in row["samples"]]
    outcomes = [response["outcome"] for response in responses]
    score: Row = {
        f"avg@{protocol.samples}": 100 * mean(rates),
        "interval": _percent(mean_interval(rates)),
        "n": len(rows),
        "boxed": mean([boxes(response["text"]) for response in responses]),
        "reflection": mean([reflects(response["text"]) for response in responses]),
        "truncated": mean([response["finish"] == "length" for response in responses]),
        "length": mean([response["tokens"] for response in responses]),
        "outcomes": {name: outcomes.count(name) for name in sorted(set(outcomes))},
        "prompt_too_long": sum(not row["samples"] for row in rows),
    }
    if protocol.greedy:
        greedy = rates_of(rows, "greedy")
        score |= {"greedy": 100 * mean(greedy), "greedy_interval": _percent(mean_interval(greedy))}
    return score


def _average(rows_of: Mapping[str, Sequence[Row]], scores: Mapping[str, Row], protocol: Protocol) -> Row:
    """The mean over suites; its intervals resample problems within each suite."""
    means = [key for key, value in next(iter(scores.values())).items() if isinstance(value, float)]
    average: Row = {key: mean([score[key] for score in scores.values()]) for key in means}
    average["interval"] = _percent(average_interval([rates_of(rows, "samples") for rows in rows_of.values()]))
    if protocol.greedy:
        average["greedy_interval"] = _percent(average_interval([rates_of(rows, "greedy") for rows in rows_of.values()]))
    average["n"] = sum(score["n"] for score in scores.values())
    return average


def _percent(interval: tuple[float, float]) -> list[float]:
    return [100 * interval[0], 100 * interval[1]]


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(path, zstandard.compress(text.encode()))


def _read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in zstandard.decompress(path.read_bytes()).splitlines()]


def make_validator(
    problems: Sequence[Problem], template: Template, protocol: Protocol, kv_cache_gib: float, mode: str = "default"
) -> Callable[[Policy, int], dict[str, float]]:
    """A training callback: accuracy on held-out problems, by which the best checkpoint is chosen."""
    grader = Grader(template, mode=mode)

    def validate(policy: Policy, step: int) -> dict[str, float]:
        rows = grade_rows(sample_suite(policy, problems, template, protocol, kv_cache_gib), problems, grader)
        return {f"validation/avg@{protocol.samples}": 100 * mean(rates_of(rows, "samples"))}

    return validate
