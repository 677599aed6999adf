"""One step's optimizer updates: score, loss, backward, clip, step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from oneshot_rlvr.algorithms import policy_loss
from oneshot_rlvr.batching import StepBatch, microbatches
from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.policy import Policy, Scorer, score_rollouts
from oneshot_rlvr.policy.forward import pad_right


@dataclass
class Sums:
    """Totals over the tokens that were scored, for the step's metrics."""

    tokens: int = 0
    values: dict[str, float] = field(default_factory=dict)

    def add(self, tokens: int, **values: float) -> None:
        """Add one micro-batch."""
        self.tokens += tokens
        for name, value in values.items():
            self.values[name] = self.values.get(name, 0.0) + value

    def mean(self, name: str) -> float:
        """A total per token; 0 when nothing was scored."""
        return self.values.get(name, 0.0) / max(1, self.tokens)


def update(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    batch: StepBatch,
    config: Config,
    reference: Policy | None = None,
) -> dict[str, float]:
    """Update the policy on a step's rollouts; returns the `policy/` metrics.

    On-policy (one minibatch, one epoch) the old log-probabilities are the trainer's own, detached. Rollouts of
    advantage 0 are not scored when neither entropy nor KL needs them; they still count in the denominator.

    Raises:
        OneshotError: the loss is not finite; raised before the optimizer's step.
    """
    algorithm, lengths = config.algorithm, [len(ids) for ids in batch.responses]
    on_policy = config.batch.minibatches == 1 and config.batch.epochs == 1
    needs_all = bool(algorithm.entropy_coefficient) or reference is not None
    scored = [i for i in range(len(lengths)) if needs_all or batch.advantages_B[i] != 0]

    read = [
        n + (0 if policy.shared_prefix else len(batch.prompts[row])) for n, row in zip(lengths, batch.rows, strict=True)
    ]

    def split(indices: Sequence[int]) -> list[list[int]]:
        return microbatches(read, indices, config.batch.microbatch_tokens)

    def frozen(model: Policy) -> list[torch.Tensor]:
        return score_rollouts(
            model, batch.prompts, batch.rows, batch.responses, config.sampling.temperature, split(scored)
        )

    old = None if on_policy else frozen(policy)
    reference_logprobs = None if reference is None else frozen(reference)
    sums, norms, losses = Sums(), [], []
    for epoch in range(config.batch.epochs):
        for part in batch.minibatches(config.batch.minibatches):
            optimizer.zero_grad(set_to_none=False)
            used, denominator, loss_value = set(part) & set(scored), batch.tokens(part), 0.0
            if used:
                with Scorer(policy, batch.prompts, config.sampling.temperature) as scorer:
                    for micro in split(sorted(used)):
                        loss_value += _accumulate(
                            scorer, batch, micro, denominator, config, old, reference_logprobs, sums, epoch
                        )
                    scorer.backward()
            norms.append(_take_step(policy, optimizer, loss_value, config.optimizer.max_grad_norm))
            losses.append(loss_value)
    everything = range(len(lengths))
    sampled_entropy = -sum(sum(logprobs) for logprobs in batch.sampler_logprobs) / batch.tokens(everything)
    return {
        "policy/loss": sum(losses) / len(losses),
        "policy/grad_norm": sum(norms) / len(norms),
        "policy/entropy": sums.mean("entropy") if needs_all else sampled_entropy,
        "policy/kl": sums.mean("kl"),
        "policy/clip_fraction": sums.mean("clipped"),
        "policy/sampler_gap": sums.mean("gap") * config.batch.epochs,
        "policy/scored_fraction": len(scored) / len(lengths),
    }


def _take_step(policy: Policy, optimizer: torch.optim.Optimizer, loss: float, max_norm: float) -> float:
    """Clip the gradient and step; returns its norm before clipping.

    Raises:
        OneshotError: the loss or the norm is not finite; the weights are then as they were.
    """
    for parameter in policy.model.parameters():
        if parameter.grad is None:  # a step without signal is a step all the same, resumed or not
            parameter.grad = torch.zeros_like(parameter)
    norm = float(torch.nn.utils.clip_grad_norm_(policy.model.parameters(), max_norm))
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise OneshotError(
            f"the loss ({loss}) or its gradient ({norm}) is not finite; this update was not made",
            fix="Lower optimizer.learning_rate, or look at the last rollouts file.",
        )
    optimizer.step()
    return norm


def _accumulate(
    scorer: Scorer,
    batch: StepBatch,
    micro: list[int],
    denominator: int,
    config: Config,
    old: list[torch.Tensor] | None,
    reference: list[torch.Tensor] | None,
    sums: Sums,
    epoch: int,
) -> float:
    """Add one micro-batch's gradient; returns its part of the loss."""
    algorithm, device = config.algorithm, scorer.policy.device
    responses = [batch.responses[i] for i in micro]
    logprobs_BT, entropy_BT = scorer.score([batch.rows[i] for i in micro], responses)
    _, mask_BT = pad_right(responses, device)
    terms = policy_loss(
        logprobs_BT,
        logprobs_BT.detach() if old is None else _stack(old, micro, logprobs_BT),
        batch.advantages_B[micro].to(device, logprobs_BT.dtype),
        entropy_BT,
        mask_BT,
        denominator,
        clip_low=algorithm.clip_low,
        clip_high=algorithm.clip_high,
        entropy_coefficient=algorithm.entropy_coefficient,
        kl_coefficient=algorithm.kl_coefficient,
        kl_estimator=algorithm.kl_estimator,
        reference_logprobs_BT=None if reference is None else _stack(reference, micro, logprobs_BT),
    )
    terms.loss.backward()
    sampled_BT = _stack([torch.tensor(batch.sampler_logprobs[i]) for i in micro], range(len(micro)), logprobs_BT)
    gap = ((logprobs_BT.detach() - sampled_BT).abs() * mask_BT).sum() if epoch == 0 else 0.0
    sums.add(
        int(mask_BT.sum()),
        entropy=float(terms.entropy_sum),
        kl=float(terms.kl_sum),
        clipped=float(terms.clipped_sum),
        gap=float(gap),
    )
    return float(terms.loss.detach())


def _stack(rows: Sequence[torch.Tensor], indices: Sequence[int], like_BT: torch.Tensor) -> torch.Tensor:
    """Rows of different lengths in one tensor of the shape, dtype and device of `like_BT`."""
    stacked_BT = torch.zeros_like(like_BT, requires_grad=False)
    for place, i in enumerate(indices):
        stacked_BT[place, : len(rows[i])] = rows[i]
    return stacked_BT
