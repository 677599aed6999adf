"""The closed loop: a selector that has seen the paths of a few labelled problems teaches the model on unlabelled ones.

Four ways to use it, beside GRPO on the labelled problems themselves, all for about as many sampled tokens:
best-of-n (the model stays as it is), `reward` (GRPO, what the selector believes being the reward), `expert`
(expert iteration: the paths that it picks are imitated), `turns` (selector and model trained in turn).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from oneshot_rlvr.commands import session
from oneshot_rlvr.commands.curriculum import SAVE_EVERY, SPARE, tokens_by_step, weights_of
from oneshot_rlvr.config import Config, ModelSection, resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.statistics import paired_difference
from oneshot_rlvr.files import checksum_of, write_atomically
from oneshot_rlvr.grading.features import mean
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.policy.model import as_the_model_asks
from oneshot_rlvr.problems import Problem, get_template, to_jsonl
from oneshot_rlvr.runs import Run
from oneshot_rlvr.sealing import begin_record
from oneshot_rlvr.selectors import SELECTORS, PathFolder, PathGroup, Training
from oneshot_rlvr.selectors.calibration import HEADLINE
from oneshot_rlvr.selectors.collect import Collection, collect, sampling_of
from oneshot_rlvr.selectors.metrics import pick, picks
from oneshot_rlvr.selectors.reward import Judge
from oneshot_rlvr.selectors.saved import Saved
from oneshot_rlvr.selectors.teaching import taught
from oneshot_rlvr.selectors.votes import vote_shares

Row = dict[str, Any]
WAYS = ("one_shot", "reward", "expert", "turns")
MOST = 3  # times as many rounds as asked, where they take fewer tokens than expected


@dataclass(frozen=True)
class Closing:
    """A loop: `labelled` problems, whose paths the selector learns from, and `pool`, whose answers nobody looks at.

    `steps` is one-shot GRPO's length; `rounds` are of `expert` and `turns`; `paths` are sampled of each labelled
    problem for the selector, `samples` of each test problem.
    """

    out: Path
    labelled: Sequence[Problem]
    pool: Sequence[Problem]
    tests: Sequence[Problem]
    model: str = "organism"
    selector: str = "hidden"
    steps: int = 100
    rounds: int = 4
    paths: int = 64
    samples: int = 8
    seed: int = 0
    settings: Sequence[str] = ()

    @cached_property
    def base(self) -> Config:
        """What all runs have in common."""
        return self.configured("grpo", {})[0]

    def configured(self, recipe: str, flags: Mapping[str, Any]) -> tuple[Config, dict[str, str]]:
        """A run from the first weights."""
        own = {"run.seed": self.seed, "run.validate_every": 0, "run.save_every": SAVE_EVERY, **flags}
        return as_the_model_asks(*resolve(recipe, self.model, self.settings, own))

    @property
    def record(self) -> Row:
        """All that the loop's folders depend on."""
        sets = {"labelled": self.labelled, "pool": self.pool, "tests": self.tests}
        names = ("model", "selector", "steps", "rounds", "paths", "samples", "seed")
        return {
            **{name: getattr(self, name) for name in names},
            **{name: checksum_of(to_jsonl(problems)) for name, problems in sets.items()},
            "settings": list(self.settings),
        }

    def train(
        self, name: str, recipe: str, problems: Sequence[Problem], weights: ModelSection | None, **flags: Any
    ) -> Run:
        """A run on these problems; gone on with, or not run at all, where it is there."""
        file = self.out / f"{name}.jsonl"
        write_atomically(file, to_jsonl(problems))
        config, sources = self.configured(
            recipe, {"data.problems": str(file), "data.only": [], **{k.replace("__", "."): v for k, v in flags.items()}}
        )
        if weights is not None:
            config = config.model_copy(update={"model": weights})
        run = Run(self.out / name)
        session.finish(run, config, sources, problems)
        return run

    def collected(
        self,
        name: str,
        problems: Sequence[Problem],
        samples: int,
        weights: ModelSection | None,
        temperature: float = 1.0,
        read: bool = True,
    ) -> list[PathGroup]:
        """Paths of these weights, kept and sampled once; `read` by these weights, or left to the selector's reader."""
        config = self.base if weights is None else self.base.model_copy(update={"model": weights})
        sampling = sampling_of(config, samples, temperature, self.seed)
        folder = PathFolder(self.out / "paths" / name)
        collection = Collection(problems, get_template(config.model.template), sampling, states=read, read=read)
        collect(folder, collection, config.model.path, config, lambda: load_policy(config.model))
        return folder.groups()

    def taught(self, name: str, groups: Sequence[PathGroup], reader: ModelSection) -> Path:
        """A selector fitted on graded paths, as a folder; `reader` is the model that made and reads them."""
        folder = self.out / name
        fitted, calibration = taught(self.selector, Training(groups, self.seed))
        about = {"problems": [group.problem.id for group in groups], "seed": self.seed}
        template = self.base.model.template
        Saved(self.selector, fitted, calibration, reader, template, about).write(folder)
        return folder


def tokens_of(groups: Sequence[PathGroup]) -> int:
    """How many response tokens some paths took."""
    return sum(path.tokens for group in groups for path in group.paths)


def run_closed_loop(loop: Closing, heard: Callable[[str], object]) -> Row:
    """Every way's accuracy on the tests, its sampled tokens, and its difference from one-shot GRPO.

    Raises:
        OneshotError: the labelled problems are all right or all wrong, or what a run raises.
        Interrupted: stopped by the user; the same call goes on.
    """
    if SELECTORS.unit(loop.selector).trait("trains"):
        raise OneshotError(
            "the loop trains no verifier", where="--selector", fix="Use a probe: hidden, probe, chooser."
        )
    begin_record(loop.out / "loop.json", loop.record, "its loop has")
    one_shot = loop.train("one_shot", "grpo", loop.labelled, None, run__steps=loop.steps)
    budget = tokens_by_step(one_shot)[loop.steps]
    heard(f"one_shot: {budget:,} tokens")
    seen = loop.collected("labelled", loop.labelled, loop.paths, None)
    folder, spent = loop.taught("selector", seen, loop.base.model), tokens_of(seen)
    ends: dict[str, tuple[ModelSection, int]] = {"one_shot": (weights_of(one_shot, loop.steps), budget)}
    ends["reward"] = _rewarded(loop, folder, spent, budget)
    heard(f"reward: {ends['reward'][1]:,} tokens")
    ends["expert"] = _imitated(loop, folder, spent, budget)
    heard(f"expert: {ends['expert'][1]:,} tokens")
    ends["turns"] = _in_turns(loop, folder, spent, budget)
    heard(f"turns: {ends['turns'][1]:,} tokens")
    rows = {"base": _tested(loop, "base", None, folder)}
    rows |= {name: _tested(loop, name, weights, folder) for name, (weights, _) in ends.items()}
    for name, (_, tokens) in ends.items():
        rows[name] |= {"tokens": tokens, "of_budget": tokens / budget}
    for name in WAYS[1:]:
        rows[name] |= _against(rows["one_shot"]["rates"], rows[name]["rates"])
    return {"selector": loop.selector, "labelled": [p.id for p in loop.labelled], "pool": len(loop.pool), "ways": rows}


def _nearest(run: Run, spent: int, budget: int) -> tuple[ModelSection, int]:
    """The checkpoint after which a run, `spent` tokens having gone before it, has taken about the budget."""
    taken = tokens_by_step(run)
    step = min(run.steps(), key=lambda one: abs(spent + taken[one] - budget))
    return weights_of(run, step), spent + taken[step]


def _reward(folder: Path) -> str:
    return f"selector(folder={str(folder.resolve())!r})"


def _rewarded(loop: Closing, folder: Path, spent: int, budget: int) -> tuple[ModelSection, int]:
    """GRPO on the pool; what the frozen selector believes is the reward."""
    steps = max(1, round(SPARE * loop.steps))
    flags = {"run__steps": steps, "algorithm__reward": _reward(folder)}
    return _nearest(loop.train("reward", "grpo", loop.pool, None, **flags), spent, budget)


def _imitated(loop: Closing, folder: Path, spent: int, budget: int) -> tuple[ModelSection, int]:
    """Rounds of: sample the pool, imitate the path that the selector picks of each problem, from the first weights on.

    Each round takes an equal part of the budget, in problems: `HEADLINE` paths of each, and there are more rounds where
    the pool is too small for that. STaR (arXiv 2203.14465) with the selector in the place of the answer. A round in
    which no pick gives an answer changes nothing.
    """
    judge, every = Judge.of_folder(folder), loop.pool
    weights: ModelSection | None = None
    share, tokens, place = (budget - spent) / loop.rounds, spent, 0
    mean_tokens = max(1.0, spent / max(1, len(loop.labelled) * loop.paths))
    for number in range(MOST * loop.rounds):
        if tokens + share / 2 > budget and number:
            break
        count = max(1, min(len(every), round(min(share, budget - tokens) / mean_tokens / HEADLINE)))
        part = [every[(place + i) % len(every)] for i in range(count)]
        place += count
        groups = loop.collected(f"expert_{number + 1}", part, HEADLINE, weights, read=False)
        tokens += tokens_of(groups)
        mean_tokens = tokens_of(groups) / (count * HEADLINE)
        chosen = [problem for group in groups if (problem := _demonstrated(group, judge, loop.seed)) is not None]
        if not chosen:
            continue
        steps = max(1, loop.steps // loop.rounds)
        run = loop.train(f"expert_{number + 1}", "sft", chosen, weights, run__steps=steps, run__save_every=steps)
        weights = weights_of(run, max(run.steps()))
    return weights or loop.base.model, tokens


def _demonstrated(group: PathGroup, judge: Judge, seed: int) -> Problem | None:
    """The problem with the picked path for a solution and its answer for a gold; None where it gives no answer."""
    if not group.paths:
        return None
    path = group.paths[pick(judge.scores(group.problem, group.paths), seed)]
    if path.extracted is None or path.finish != "stop":
        return None
    return replace(group.problem, answer=path.extracted, solution=path.text.strip())


def _in_turns(loop: Closing, folder: Path, spent: int, budget: int) -> tuple[ModelSection, int]:
    """Rounds of: fit the selector on the newest model's paths of the labelled problems, then a burst by its reward.

    As RL Tango (arXiv 2505.15034) trains generator and verifier. Where the labelled paths have become all right or all
    wrong, the selector stays as it is.
    """
    weights, tokens = None, spent
    steps = max(1, loop.steps // loop.rounds)
    for number in range(MOST * loop.rounds):
        if weights is not None:
            groups = loop.collected(f"turn_{number + 1}", loop.labelled, loop.paths, weights)
            tokens += tokens_of(groups)
            if any(group.mixed for group in groups):
                folder = loop.taught(f"selector_{number + 1}", groups, weights)
        flags = {"run__steps": steps, "run__save_every": steps, "algorithm__reward": _reward(folder)}
        run = loop.train(f"turn_{number + 1}", "grpo", loop.pool, weights, **flags)
        weights = weights_of(run, steps)
        tokens += tokens_by_step(run)[steps]
        if tokens >= budget:
            break
    assert weights is not None
    return weights, tokens


def _tested(loop: Closing, name: str, weights: ModelSection | None, folder: Path) -> Row:
    """A model on the tests: avg@n, majority vote, and the first selector's pick among n."""
    groups = loop.collected(f"test_{name}", loop.tests, loop.samples, weights, temperature=0.6, read=False)
    judge, n = Judge.of_folder(folder), loop.samples
    found = [judge.scores(group.problem, group.paths) for group in groups]
    picked = picks(groups, n, loop.seed, lambda place, blocks: np.array(found[place])[blocks])
    once = np.ones((1, n))
    usual = picks(groups, n, loop.seed, lambda place, blocks: vote_shares(groups[place].classes_N[blocks], once))
    rates = [group.rate for group in groups]
    return {
        "average": mean(rates),
        "majority": mean(usual.right),
        "best_of": mean(picked.right),
        "n": n,
        "rates": rates,
    }


def _against(before: Sequence[float], after: Sequence[float]) -> Row:
    difference = paired_difference([before], [after])
    return {"minus_one_shot": difference.value, "interval": list(difference.interval), "p_value": difference.p_value}
