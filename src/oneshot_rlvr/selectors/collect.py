"""Collect reasoning paths: sample, grade, measure; a shard of problems at a time, so that it can be gone on with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from oneshot_rlvr.config import Config, ModelSection
from oneshot_rlvr.evaluation.checkpoints import Checkpoint
from oneshot_rlvr.evaluation.protocols import Sampling
from oneshot_rlvr.evaluation.sampling import sample_problems
from oneshot_rlvr.evaluation.scoring import grade_rows
from oneshot_rlvr.files import checksum_of
from oneshot_rlvr.grading import Grader
from oneshot_rlvr.grading.pool import standing_pool
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.problems import Problem, Template, to_jsonl
from oneshot_rlvr.rollout import make_sampler
from oneshot_rlvr.selectors.measure import Reader
from oneshot_rlvr.selectors.paths import PathFolder, PathGroup, ReasoningPath

SHARD = 32  # problems


@dataclass(frozen=True)
class Collection:
    """`samples` paths of each problem at a temperature; `states` keeps the last hidden state of each.

    `read`: by the model that writes them; off where another is to read them.
    """

    problems: Sequence[Problem]
    template: Template
    sampling: Sampling
    states: bool = False
    mode: str = "default"
    read: bool = True

    def record(self, model: str, section: ModelSection) -> dict[str, Any]:
        """What `paths.json` says of it: all that the paths depend on."""
        sampling = json.loads(json.dumps(dataclasses.asdict(self.sampling)))
        return {
            "model": model,
            "weights": checksum_of(Checkpoint("", 0, section).content_hash),
            "template": self.template.name,
            "examples": checksum_of(repr(self.template.shots)) if self.template.shots else None,
            "sampling": sampling,
            "states": self.states,
            **({} if self.read else {"read": False}),
            "grading": self.mode,
            "problems": len(self.problems),
            "problems_checksum": checksum_of(to_jsonl(self.problems)),
            "shards": -(-len(self.problems) // SHARD),
        }


def sampling_of(config: Config, samples: int, temperature: float, seed: int) -> Sampling:
    """How paths are sampled: as the configuration stops them, at another temperature."""
    own = config.sampling
    stops = {"stop_ids": own.stop_ids, "stop_strings": own.stop_strings}
    return Sampling(samples, temperature, greedy=False, max_new_tokens=own.max_new_tokens, seed=seed, **stops)


def collect(
    folder: PathFolder,
    collection: Collection,
    model: str,
    config: Config,
    load: Callable[[], Policy],
    heard: Callable[[int], object] = lambda done: None,
) -> None:
    """Collect the shards that are missing; `heard(done)` is called with problems. The model is loaded if needed.

    Raises:
        OneshotError: the folder holds other paths.
    """
    record = collection.record(model, config.model)
    folder.begin(record)
    missing = [number for number in range(record["shards"]) if not folder.shard_path(number).exists()]
    done = len(collection.problems) - sum(len(_part(collection, number)) for number in missing)
    heard(done)
    if not missing:
        return
    policy = load()
    sampler, reader = make_sampler(policy, config), Reader(policy, collection.template)
    with Grader(collection.template, mode=collection.mode, workers=standing_pool()) as grader:
        for number in missing:
            part = _part(collection, number)
            rows = sample_problems(sampler, policy, part, collection.template, collection.sampling)
            groups = [_group(p, row) for p, row in zip(part, grade_rows(rows, part, grader), strict=True)]
            if collection.read:
                groups = [reader.measured(group, collection.states) for group in groups]
            folder.write_shard(number, groups)
            done += len(part)
            heard(done)


def _part(collection: Collection, number: int) -> Sequence[Problem]:
    return collection.problems[number * SHARD : (number + 1) * SHARD]


def _group(problem: Problem, row: dict[str, Any]) -> PathGroup:
    return PathGroup(
        problem,
        [ReasoningPath(r["text"], r["finish"], r["tokens"], r["outcome"], r["extracted"]) for r in row["samples"]],
    )
