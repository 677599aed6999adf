"""A micro-burst curriculum: rank, a short burst of training, rank again; against one fixed choice at equal tokens.

Source: SGAC, arXiv 2605.01823. Each burst is a run of its own from the last one's weights, and its optimizer begins
anew: that is how it differs from a run that changes its problem.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from oneshot_rlvr.commands import session
from oneshot_rlvr.commands.ablation import Rates
from oneshot_rlvr.commands.ablation_table import average_of
from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.config.sections import ModelSection
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import Checkpoint, Evaluator, Sampling, get_protocol
from oneshot_rlvr.evaluation.scoring import rates_of
from oneshot_rlvr.evaluation.statistics import paired_difference
from oneshot_rlvr.grading.features import mean
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.policy.model import as_the_model_asks
from oneshot_rlvr.problems import Problem, get_template
from oneshot_rlvr.runs import EvaluationFolder, Run
from oneshot_rlvr.selection import Candidates, History, rank
from oneshot_rlvr.selection.history import visit_of

Row = dict[str, Any]
_Answers = dict[str, list[Row]]
SPARE = 1.25  # steps of the fixed choice, of those expected to take as many tokens: its nearest checkpoint counts
SAVE_EVERY = 5
OF_VISITS = ("std", "variance", "varied")  # selectors that score every problem 0 by a single visit
COLLECTOR = "once"  # the one that records all that it samples
SHORT = 0.02  # of the tokens: by more than that the two are not equal


@dataclass(frozen=True)
class Loop:
    """`rounds` bursts of `burst` steps on the `pick` first of `problems`, ranked by `probe` responses to each."""

    out: Path
    pool: str
    problems: Sequence[Problem]
    suites: Mapping[str, Sequence[Problem]]
    model: str = "organism"
    recipe: str = "grpo"
    by: str = "disagreement"
    rounds: int = 4
    burst: int = 25
    pick: int = 1
    probe: int = 8
    samples: int = 8
    seed: int = 0
    settings: Sequence[str] = ()

    def configured(self, chosen: Sequence[str], steps: int, *more: str) -> tuple[Config, dict[str, str]]:
        """A run on the chosen problems from the first weights."""
        only = [f"data.problems={self.pool}", f"data.only={json.dumps(list(chosen))}"]
        flags = {"run.seed": self.seed, "run.steps": steps}
        return as_the_model_asks(*resolve(self.recipe, self.model, [*only, *self.settings, *more], flags))

    @cached_property
    def base(self) -> Config:
        """What all runs have in common: the first weights, and how they are asked."""
        return self.configured([], 1)[0]

    def train(self, name: str, weights: ModelSection | None, chosen: Sequence[str], steps: int, *more: str) -> Run:
        """A run on the chosen problems, from these weights; gone on with, or not run at all, where it is there."""
        config, sources = self.configured(chosen, steps, *more)
        if weights is not None:
            config = config.model_copy(update={"model": weights})
        run = Run(self.out / name)
        session.finish(run, config, sources, session.chosen_problems(config))
        return run

    def asked(self, weights: ModelSection, suites: Mapping[str, Sequence[Problem]], sampling: Sampling) -> _Answers:
        """Graded responses by suite; kept, and sampled once."""
        template, length = get_template(self.base.model.template), self.base.sampling.max_new_tokens
        protocol = replace(get_protocol("honest"), sampling=sampling, max_new_tokens=length, base_templates=())
        evaluator = Evaluator(suites, template, protocol, EvaluationFolder(self.out / "eval"), self.base)
        checkpoint = Checkpoint("", 0, weights)
        evaluator.sample(checkpoint.content_hash, lambda: load_policy(weights), template)
        with evaluator.grader(template) as grader:
            return evaluator.rows(checkpoint.content_hash, grader, template)

    def ranked(self, weights: ModelSection, place: int) -> tuple[list[str], int]:
        """The problems to train on next, by responses of these weights; and how many tokens those took."""
        sampling = Sampling(
            self.probe, self.base.sampling.temperature, greedy=False, seed=self.seed + 1000 * (place + 1)
        )
        rows = self.asked(weights, {"pool": self.problems}, sampling)["pool"]
        history: History = {row["problem_id"]: [visit_of(place, row["samples"])] for row in rows}
        ranking = rank(Candidates.of(self.problems, history), self.by)
        return [row.id for row in ranking[: self.pick]], sum(one["tokens"] for row in rows for one in row["samples"])

    def rates(self, weights: ModelSection) -> Rates:
        """Each test problem's share of correct responses."""
        rows = self.asked(weights, self.suites, Sampling(self.samples, greedy=False, seed=self.seed))
        return {suite: rates_of(found) for suite, found in rows.items()}


def weights_of(run: Run, step: int) -> ModelSection:
    """A checkpoint as a model."""
    return run.config.model.of_weights(run.checkpoint_path(step))


def tokens_by_step(run: Run) -> dict[int, int]:
    """How many response tokens a run had sampled after each step."""
    found, total = {}, 0
    for step in run.rollout_steps():
        total += sum(row["tokens"] for row in run.rollouts(step))
        found[step] = total
    return found


def fewest_a_step(run: Run) -> float:
    """The tokens of a step of a run, of its first half or its second, whichever took fewer: responses get shorter."""
    totals = [0, *tokens_by_step(run).values()]
    each = [after - before for before, after in itertools.pairwise(totals)]
    half = len(each) // 2
    return min(mean(part) for part in (each[:half], each[half:]) if part) or 1


def run_loop(loop: Loop, heard: Callable[[str], None]) -> dict[str, Any]:
    """The curriculum, then the first round's choice for as many tokens: rounds, scores in percent, the difference.

    Raises:
        OneshotError: a selector that cannot rank by responses, or what a run raises.
        Interrupted: stopped by the user; the same call goes on.
    """
    if loop.by.partition("(")[0].strip() in OF_VISITS:
        raise OneshotError(
            f"{loop.by} compares visits, and a round is one",
            where="--by",
            fix="Rank by disagreement, half, hard or another that reads a single visit.",
        )
    if loop.base.algorithm.collector != COLLECTOR:
        raise OneshotError(
            f"{loop.base.algorithm.collector} leaves out groups without recording them, so tokens cannot be counted",
            where="algorithm.collector",
            fix=f"--set algorithm.collector={COLLECTOR}.",
        )
    base = loop.base.model
    weights, rounds = base, list[Row]()
    for place in range(loop.rounds):
        chosen, probed = loop.ranked(weights, place)
        run = loop.train(f"round_{place + 1}", weights, chosen, loop.burst)
        last = max(run.steps())
        weights = weights_of(run, last)
        rounds.append({"chosen": chosen, "probe_tokens": probed, "tokens": tokens_by_step(run)[last]})
        heard(f"round {place + 1}: {', '.join(chosen)}")
    total = sum(row["tokens"] + row["probe_tokens"] for row in rounds)
    steps = max(1, math.ceil(SPARE * total / fewest_a_step(Run(loop.out / "round_1"))))
    fixed = loop.train("fixed", None, rounds[0]["chosen"], steps, f"run.save_every={SAVE_EVERY}")
    spent = tokens_by_step(fixed)
    step = min(fixed.steps(), key=lambda one: abs(spent[one] - total))
    heard(f"fixed choice: {', '.join(rounds[0]['chosen'])}")
    if spent[step] < (1 - SHORT) * total:
        heard(
            f"fixed choice: its responses became so short that it ends {total - spent[step]:,} tokens before the loop"
        )
    scores = {"base": loop.rates(base), "loop": loop.rates(weights), "fixed": loop.rates(weights_of(fixed, step))}
    difference = paired_difference(list(scores["fixed"].values()), list(scores["loop"].values()))
    averages = {name: average_of([rates]) for name, rates in scores.items()}
    return {
        "rounds": rounds,
        "tokens": {"loop": total, "fixed": spent[step]},
        "fixed_step": step,
        "averages": averages,
        "loop_minus_fixed": round(100 * difference.value, 2),
        "interval": [round(100 * end, 2) for end in difference.interval],
        "p_value": difference.p_value,
    }
