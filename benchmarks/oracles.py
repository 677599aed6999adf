"""Our algorithms against verl's and TRL's own functions on random tensors: equal to 1e-6, values and gradients.

    make oracles                 # in an environment of its own (.venv-oracles): verl 0.9.1 and TRL
    python benchmarks/oracles.py --cases 50 --json results/oracles.json

Each comparison is of one function with one choice of options; every case draws new tensors, log-ratios wide enough that
every clip acts. Exit code 1 if any disagrees.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from oneshot_rlvr.algorithms import ADVANTAGES, AGGREGATIONS, KL_ESTIMATORS, PENALTIES, SURROGATES, Experience
from oneshot_rlvr.algorithms.experience import LossInputs, Totals
from oneshot_rlvr.algorithms.gae import value_loss
from oneshot_rlvr.algorithms.kl_control import KlControl
from oneshot_rlvr.algorithms.returns import token_rewards
from oneshot_rlvr.policy.logprobs import logit_scores
from oneshot_rlvr.runs.environment import commit

CLOSE = 1e-6
AGGREGATED = {  # ours: verl's
    "token_mean": "token-mean",
    "sequence_mean": "seq-mean-token-mean",
    "constant_length": "seq-mean-token-sum-norm",
}
Pair = tuple[str, list[torch.Tensor], list[torch.Tensor]]  # what is compared, ours, theirs


@dataclass
class Case:
    """Random tensors of one minibatch, [B, T] in float64; the mask is True on a row's first tokens."""

    mask: torch.Tensor
    logprobs: torch.Tensor
    old: torch.Tensor
    reference: torch.Tensor
    advantages: torch.Tensor
    values: torch.Tensor
    rewards_PG: torch.Tensor

    @classmethod
    def drawn(cls, seed: int) -> Case:
        generator = torch.Generator().manual_seed(seed)
        groups, size, width = 3, 4, 9
        count = groups * size
        lengths = torch.randint(1, width + 1, (count,), generator=generator)
        lengths[0] = width

        def normal(scale: float = 1.0) -> torch.Tensor:
            return scale * torch.randn(count, width, generator=generator, dtype=torch.float64)

        old = -normal().abs()
        return cls(
            mask=torch.arange(width) < lengths[:, None],
            logprobs=old + normal(0.7),
            old=old,
            reference=old + normal(0.7),
            advantages=normal(),
            values=normal(),
            rewards_PG=torch.randn(groups, size, generator=generator, dtype=torch.float64).round(decimals=1),
        )

    @property
    def real(self) -> torch.Tensor:
        """The mask as numbers."""
        return self.mask.double()

    @property
    def totals(self) -> Totals:
        return Totals(int(self.mask.sum()), len(self.mask))

    def rows(self, values: torch.Tensor) -> list[torch.Tensor]:
        """The real tokens of each sequence."""
        return [row[keep] for row, keep in zip(values, self.mask, strict=True)]

    def padded(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.zeros_like(self.old).masked_scatter(self.mask, torch.cat(list(rows)).double())

    def inputs(self, logprobs: torch.Tensor, advantages: torch.Tensor | None = None) -> LossInputs:
        return LossInputs(
            logprobs_BT=logprobs,
            entropy_BT=logprobs.detach().square(),
            mask_BT=self.mask,
            old_BT=self.old,
            advantages_BT=self.advantages if advantages is None else advantages,
            totals=self.totals,
            reference_BT=self.reference,
        )

    def experience(self) -> Experience:
        groups, size = self.rewards_PG.shape
        return Experience(
            prompts=tuple((i,) for i in range(groups)),
            prompt_B=tuple(b // size for b in range(groups * size)),
            group_B=tuple(b // size for b in range(groups * size)),
            responses=tuple((0,) * int(keep.sum()) for keep in self.mask),
            rewards_B=self.rewards_PG.flatten(),
            old=self.rows(self.old),
            reference=self.rows(self.reference),
            values=self.rows(self.values),
        )

    def scores(self) -> torch.Tensor:
        """Each sequence's reward at its last token."""
        return self.padded(
            [
                r * torch.eye(int(n), dtype=r.dtype)[-1]
                for n, r in zip(self.mask.sum(1), self.rewards_PG.flatten(), strict=True)
            ]
        )


def graded(loss: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor) -> list[torch.Tensor]:
    """A loss and its gradient."""
    leaf = at.clone().requires_grad_()
    value = loss(leaf)
    return [value.detach(), *torch.autograd.grad(value, leaf)]


def our_loss(case: Case, surrogate: str, aggregation: str, options: dict[str, Any], **more: Any) -> list[torch.Tensor]:
    """Surrogate, aggregated, with its gradient."""

    def loss(logprobs: torch.Tensor) -> torch.Tensor:
        inputs = case.inputs(logprobs, more.get("advantages"))
        values, _ = SURROGATES[surrogate](inputs, **options)
        for weight, penalty in more.get("penalties", ()):
            values = values + weight * PENALTIES[penalty](inputs)
        length = {"length": case.mask.shape[1]} if aggregation == "constant_length" else {}
        total, divisor = AGGREGATIONS[aggregation](values, case.mask, case.totals, **length)
        return total / divisor

    return graded(loss, case.logprobs)


def against_verl(case: Case) -> Iterator[Pair]:
    """Everything that verl's core_algos and we both define."""
    import verl.trainer.ppo.core_algos as core
    from verl.trainer.config import AlgoConfig

    seen, scores, real = case.experience(), case.scores(), case.real
    index = np.array(seen.group_B)

    def ours(name: str, **options: Any) -> list[torch.Tensor]:
        found = ADVANTAGES[name](seen, **options)
        assert found.advantages is not None
        returns = [] if found.returns is None else [case.padded(found.returns)]
        return [case.padded(found.advantages), *returns]

    yield "advantage grpo", ours("grpo"), [core.compute_grpo_outcome_advantage(scores, real, index)[0]]
    centred = core.compute_grpo_outcome_advantage(scores, real, index, norm_adv_by_std_in_grpo=False)[0]
    yield "advantage dr_grpo", ours("dr_grpo"), [centred]
    yield "advantage rloo", ours("rloo"), [core.compute_rloo_outcome_advantage(scores, real, index)[0]]
    for gamma in (1.0, 0.9):
        pair = core.compute_reinforce_plus_plus_outcome_advantage(scores, real, config=AlgoConfig(gamma=gamma))
        yield f"advantage reinforce_pp gamma {gamma}", ours("reinforce_pp", gamma=gamma), list(pair)
        for lam in (1.0, 0.95, 0.0):
            pair = core.compute_gae_advantage_return(scores, case.values * real, real, gamma, lam)
            theirs = [tensor * real for tensor in pair]
            yield f"advantage gae gamma {gamma} lambda {lam}", ours("gae", gamma=gamma, lam=lam), theirs
    rewards = core.compute_rewards(scores, case.old * real, case.reference * real, 0.05)
    yield "reward with KL", [case.padded(token_rewards(seen, 0.05))], [rewards]
    ours_kl, verls_kl = KlControl(0.05, 0.1, 100), core.AdaptiveKLController(0.05, 0.1, 100)
    for _ in range(3):
        ours_kl.update(seen)
        verls_kl.update(ours_kl.divergence(seen), len(seen))
    yield "adaptive KL coefficient", [torch.tensor(ours_kl.coefficient)], [torch.tensor(verls_kl.value)]
    yield from _losses_against_verl(case)


def _losses_against_verl(case: Case) -> Iterator[Pair]:
    import verl.trainer.ppo.core_algos as core
    import verl.utils.torch_functional as functional
    from verl.workers.config import ActorConfig

    real = case.real
    for mine, other in AGGREGATED.items():
        for low, high, dual in ((0.2, 0.2, 3.0), (0.2, 0.28, 3.0), (0.1, 0.4, 1.5)):
            actor = _actor(ActorConfig, low, high, dual)
            clip = {"clip_low": low, "clip_high": high, "dual": dual}
            options = {"clipped": clip, "gspo": {"low": low, "high": high}, "cispo": {"low": low, "high": high}}
            for name, verls in (("clipped", "vanilla"), ("gspo", "gspo"), ("cispo", "cispo")):
                function = getattr(core, f"compute_policy_loss_{verls}")
                theirs = graded(partial(_verl_loss, function, case, other, actor), case.logprobs)
                yield f"loss {name}, {mine}, clip {low} {high}", our_loss(case, name, mine, options[name]), theirs
    for mine, other in (("k1", "kl"), ("k2", "mse"), ("k3", "low_var_kl")):
        theirs = core.kl_penalty_forward(case.logprobs, case.reference, other)
        yield f"kl {mine}", [KL_ESTIMATORS[mine](case.logprobs, case.reference)], [theirs]
    logits = torch.randn(6, 5, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits = logits + case.values[:6, :5, None] * torch.arange(11) / 11
    entropy = logit_scores(logits.flatten(0, 1), torch.zeros(30, dtype=torch.long), 1.0)[1].view(6, 5)
    yield "entropy", [entropy], [functional.entropy_from_logits(logits)]
    own, clipped = value_loss(case.values, case.old, case.advantages, 0.5)
    verls, fraction = core.compute_value_loss(case.values, case.advantages, case.old, real, 0.5)
    share = (clipped & case.mask).sum() / case.mask.sum()
    yield "value loss", [(own * real).sum() / real.sum(), share], [verls, fraction]


def _verl_loss(function: Any, case: Case, aggregation: str, actor: Any, logprobs: torch.Tensor) -> torch.Tensor:
    return function(case.old, logprobs, case.advantages, case.real, aggregation, actor)[0]


def _actor(kind: Any, low: float, high: float, dual: float) -> Any:
    """verl's configuration of a policy loss."""
    return kind(
        strategy="fsdp",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        clip_ratio=low,
        clip_ratio_low=low,
        clip_ratio_high=high,
        clip_ratio_c=dual,
    )


def against_trl(case: Case) -> Iterator[Pair]:
    """TRL's loss types: its own `_compute_loss`, with the log-probabilities given.

    TRL does not clamp k3, as we and verl do; compared is where the clamp is not reached.
    """
    case = replace(case, reference=case.logprobs + (case.reference - case.logprobs).clamp(-2, 2))
    by_sequence = case.advantages[:, 0]
    spread = by_sequence[:, None].expand_as(case.old)
    clip = {"clip_low": 0.2, "clip_high": 0.28}
    aggregated = {"grpo": "sequence_mean", "bnpo": "token_mean", "dapo": "token_mean", "dr_grpo": "constant_length"}
    for kind, aggregation in aggregated.items():
        for beta in (0.0, 0.04):
            penalties = [(beta, "kl")] if beta else []
            mine = our_loss(case, "clipped", aggregation, clip, advantages=spread, penalties=penalties)
            yield f"loss {kind}, beta {beta}", mine, _trl_loss(case, kind, by_sequence, beta=beta)
    mine = our_loss(case, "gspo", "sequence_mean", {"low": 0.2, "high": 0.28}, advantages=spread)
    yield "loss grpo by sequence (gspo)", mine, _trl_loss(case, "grpo", by_sequence, level="sequence")
    mine = our_loss(case, "cispo", "token_mean", {"low": 1.0, "high": 0.5}, advantages=spread)
    yield "loss cispo", mine, _trl_loss(case, "cispo", by_sequence, high=1.5)


def _trl_loss(
    case: Case, kind: str, advantages: torch.Tensor, beta: float = 0.0, level: str = "token", high: float = 0.28
) -> list[torch.Tensor]:
    from trl.trainer.grpo_trainer import GRPOTrainer

    def loss(logprobs: torch.Tensor) -> torch.Tensor:
        trainer = SimpleNamespace(
            _get_per_token_logps_and_entropies=lambda *a, **k: (logprobs, case.values, None),
            top_entropy_quantile=1.0,
            off_policy_mask_threshold=None,
            importance_sampling_level=level,
            beta=beta,
            loss_type=kind,
            epsilon_low=0.2,
            epsilon_high=high,
            args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
            use_vllm=False,
            model=SimpleNamespace(training=True),
            current_gradient_accumulation_steps=1,
            max_completion_length=case.mask.shape[1],
            accelerator=SimpleNamespace(num_processes=1, reduce=lambda x, **k: x, gather=lambda x: x),
            _entropy_bonus_enabled=False,
            aux_loss_enabled=False,
            _metrics={"train": defaultdict(list)},
        )
        ids = torch.zeros(case.mask.shape, dtype=torch.long)
        inputs = {
            "prompt_ids": ids[:, :1],
            "prompt_mask": ids[:, :1] + 1,
            "completion_ids": ids,
            "completion_mask": case.mask.long(),
            "advantages": advantages,
            "old_per_token_logps": case.old,
            "ref_per_token_logps": case.reference,
            "num_items_in_batch": case.mask.sum(),
        }
        return GRPOTrainer._compute_loss(trainer, None, inputs)

    return graded(loss, case.logprobs)


def difference(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> float:
    """The greatest absolute difference; infinite where shapes differ or something is NaN."""
    found = 0.0
    for a, b in zip(ours, theirs, strict=True):
        gap = float((a.double() - b.double()).abs().max()) if a.shape == b.shape else float("inf")
        found = max(found, gap if gap == gap else float("inf"))
    return found


def main() -> int:
    """Compare, count, say what disagrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    for seed in range(options.cases):
        case = Case.drawn(seed)
        for library, compared in (("verl", against_verl), ("trl", against_trl)):
            for name, ours, theirs in compared(case):
                found.setdefault(f"{library}: {name}", []).append(difference(ours, theirs))
    table = {
        name: {"cases": len(gaps), "agree": sum(gap <= CLOSE for gap in gaps), "greatest_difference": max(gaps)}
        for name, gaps in found.items()
    }
    cases, agree = (sum(row[key] for row in table.values()) for key in ("cases", "agree"))
    versions = {name: version(name) for name in ("verl", "trl", "torch")}
    for name, row in table.items():
        print(f"{row['agree']:>4}/{row['cases']:<4} {row['greatest_difference']:.1e}  {name}")
    print(f"{agree} of {cases} comparisons agree to {CLOSE:g}, in {len(table)} kinds; {versions}")
    if options.json:
        record = {"command": f"python benchmarks/oracles.py --cases {options.cases}", "commit": commit()}
        record |= {"versions": versions, "comparisons": cases, "agree": agree, "kinds": table}
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    return int(agree != cases)


if __name__ == "__main__":
    raise SystemExit(main())
