"""Probe problems: rollouts of the untrained model, one gradient, and a short, fast burst of training on each.

A probe samples `BURST` steps of rollouts and one step's worth on held-out problems: 4 % of a run of 100 steps. The
burst goes `FASTER` times as fast as the run would. The pool's mean gradient is made once for all of a pool's probes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from oneshot_rlvr.algorithms import Experience
from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import checksum_of, write_atomically
from oneshot_rlvr.grading.features import mean
from oneshot_rlvr.policy.model import as_the_model_asks
from oneshot_rlvr.problems import Problem, find_problems, to_jsonl
from oneshot_rlvr.rollout import Prompt, SamplingParams
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.runs import Run
from oneshot_rlvr.sealing import read_record, write_record
from oneshot_rlvr.selection.history import visit_of
from oneshot_rlvr.selection.probes import Probe
from oneshot_rlvr.training.groups import Group
from oneshot_rlvr.training.loop import experienced
from oneshot_rlvr.training.prepare import Trainer, prepare
from oneshot_rlvr.training.source import Source
from oneshot_rlvr.training.update import gradient, update

BURST = 3  # steps
FASTER = 10.0  # times the run's learning rate
HELD_OUT = 1_000_000  # the step that keys what held-out problems are asked with: the same before and after a burst
AGAIN = "Delete it: the problem is then probed again."


@dataclass(frozen=True)
class Probing:
    """Problems of a pool, probed on one model; what is done is kept in `out`.

    `asked` held-out problems are asked before and after a burst: the first of the model's validation set, or of the
    pool where it has none.
    """

    out: Path
    pool: str
    asked: int = 128
    model: str = "organism"
    recipe: str = "grpo"
    seed: int = 0
    settings: Sequence[str] = ()

    def configured(self, chosen: Sequence[str]) -> Config:
        """A run on the chosen problems."""
        only = [f"data.problems={self.pool}", f"data.only={json.dumps(list(chosen))}", "run.validate_every=0"]
        return as_the_model_asks(*resolve(self.recipe, self.model, [*only, *self.settings], {"run.seed": self.seed}))[0]

    @cached_property
    def held_out(self) -> list[Problem]:
        """The problems that are asked before and after."""
        return find_problems(self.configured([]).run.validation or self.pool)[: self.asked]

    @cached_property
    def problems(self) -> dict[str, Problem]:
        """The pool by id."""
        return {problem.id: problem for problem in find_problems(self.pool)}

    def trainer(self, problems: Sequence[Problem]) -> Trainer:
        """What a step on these problems works with; nothing is written."""
        config = self.configured([problem.id for problem in problems])
        fast = config.optimizer.model_copy(update={"learning_rate": FASTER * config.optimizer.learning_rate})
        return prepare(config.model_copy(update={"optimizer": fast}), Run(self.out / "none"), problems)

    @cached_property
    def _key(self) -> str:
        """Names what a probe depends on besides its problem; a model's weights by the model's name."""
        texts = [checksum_of(to_jsonl(problems)) for problems in (self.held_out, self.problems.values())]
        values = json.dumps(self.configured([]).model_dump(mode="json"))
        return f"{fold(values, *texts, BURST, str(FASTER)):016x}"

    def path(self, problem: str) -> Path:
        """Where a problem's probe is kept."""
        return self.out / "probes" / f"{fold(self._key, problem):016x}.json"

    @cached_property
    def once(self) -> float:
        """What the pool's mean gradient and asking the untrained model cost, as a share of a whole run's rollouts."""
        config = self.configured([])
        steps, size = -(-len(self.problems) // config.batch.groups_per_step), config.batch.group_size
        rollouts = config.batch.groups_per_step * size
        return (steps * rollouts + len(self.held_out)) / (rollouts * config.run.steps)

    def run(self, ids: Sequence[str], heard: Callable[[str, int, int], None]) -> dict[str, Probe]:
        """The probes of these problems; those that are there already are not made again.

        Raises:
            OneshotError: an id that the pool lacks, or what training raises.
        """
        for wanted in ids:
            if wanted not in self.problems:
                raise OneshotError(f"no problem {wanted!r} in it", where=self.pool, fix="`oneshot problems` lists ids.")
        found: dict[str, Probe] = {}
        for done, wanted in enumerate(ids, 1):
            path = self.path(wanted)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_record(path, asdict(self._probe(self.problems[wanted])))
            kept = read_record(path, AGAIN)
            found[wanted] = Probe(**{key: kept[key] for key in Probe.__dataclass_fields__})
            heard(wanted, done, len(ids))
        return found

    def _probe(self, problem: Problem) -> Probe:
        trainer = self.trainer([problem])
        first = trainer.collect(1)
        experience = experienced(trainer, first)
        direction = gradient(trainer.models, experience, trainer.algorithm, trainer.config, trainer.budget)
        shift = hidden_shift(trainer, problem)
        _step(trainer, 1, experience)
        last = first
        for step in range(2, BURST + 1):
            last = trainer.collect(step)
            _step(trainer, step, experienced(trainer, last))
        rollouts = [pair for group in first for pair in zip(group.rollouts, group.grades, strict=True)]
        rows = [{"text": r.text, "outcome": g.outcome, "extracted": g.extracted} for r, g in rollouts]
        visit = visit_of(1, rows)
        assert visit.entropy is not None
        assert visit.distinct is not None
        assert visit.faithful is not None
        sampled = BURST * len(rollouts) + len(self.held_out)
        return Probe(
            success=visit.accuracy,
            varied=mean([group.varied for group in first]),
            entropy=visit.entropy,
            distinct=visit.distinct,
            tokens=mean([len(r.response_ids) for r, _ in rollouts]),
            faithful=visit.faithful,
            shift=shift,
            gradient=cosine(direction, self.pool_gradient),
            norm=float(direction.norm()),
            own=100 * (accuracy_of(last) - accuracy_of(first)),
            moved=100 * (self._held_out_accuracy(trainer) - self.before),
            cost=sampled / (len(rollouts) * trainer.config.run.steps),
        )

    @cached_property
    def before(self) -> float:
        """The untrained model's accuracy on the held-out problems."""
        return self._held_out_accuracy(self.trainer(list(self.problems.values())[:1]))

    def _held_out_accuracy(self, trainer: Trainer) -> float:
        """One response to each; random numbers are the same before and after, so that chance moves little."""
        batch = trainer.config.batch.model_copy(update={"group_size": 1})
        config = trainer.config.model_copy(update={"batch": batch})
        source = Source(config, self.held_out, trainer.models.policy, trainer.source.grader, trainer.source.sampler)
        return accuracy_of(source.groups(HELD_OUT, self.held_out))

    @cached_property
    def pool_gradient(self) -> torch.Tensor:
        """The mean over the pool of the untrained model's gradient; made once and kept."""
        path = self.out / f"pool_{self._key}.safetensors"
        with contextlib.suppress(FileNotFoundError, SafetensorError):  # not there, or damaged: made again
            return load_file(path)["gradient"]
        problems = list(self.problems.values())
        trainer = self.trainer(problems)
        steps = -(-len(problems) // trainer.config.batch.groups_per_step)
        total = torch.zeros(())
        for step in range(1, steps + 1):
            experience = experienced(trainer, trainer.collect(step))
            total = total + gradient(trainer.models, experience, trainer.algorithm, trainer.config, trainer.budget)
        write_atomically(path, save({"gradient": total / steps}))
        return total / steps


def _step(trainer: Trainer, step: int, experience: Experience) -> None:
    trainer.models.begin(step - 1, trainer.config.run.steps)
    update(trainer.models, experience, trainer.algorithm, trainer.config, trainer.budget)
    trainer.source.sampler.update(trainer.models.policy)


def accuracy_of(groups: Sequence[Group]) -> float:
    """The share of correct rollouts."""
    return mean([grade.outcome == "correct" for group in groups for grade in group.grades])


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of two gradients; 0 where one is 0."""
    length = float(a.norm() * b.norm())
    return float(a @ b) / length if length else 0.0


@torch.no_grad()
def hidden_shift(trainer: Trainer, problem: Problem) -> float:
    """How far a greedy response moves the last hidden state: from the prompt's last token to its own.

    Source: SHIFT's reasoning-induced representation shift, arXiv 2605.28631.
    """
    policy, source = trainer.models.policy, trainer.source
    params = SamplingParams(0.0, max_new_tokens=trainer.config.sampling.max_new_tokens, stop_ids=source.stop_ids)
    ((rollout,),) = source.sampler.sample([Prompt(problem.id, source.encode(problem), 0)], 1, params)
    ids = torch.tensor([[*rollout.prompt_ids, *rollout.response_ids]], device=policy.device)
    with policy.autocast():
        states_TD = policy.model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0].float()
    return float((states_TD[-1] - states_TD[len(rollout.prompt_ids) - 1]).norm())
