"""One step's optimizer updates: score, loss, backward, clip, step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from oneshot_rlvr.algorithms import policy_loss
from oneshot_rlvr.batching import StepBatch, microbatches, trie_microbatches
from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.memory import Budget, in_pieces
from oneshot_rlvr.policy import Policy, Scorer, score_rollouts
from oneshot_rlvr.policy.forward import pad_right
from oneshot_rlvr.policy.logprobs import LOGITS_BUDGET
from oneshot_rlvr.policy.optimizer import trained_parameters


@dataclass
class Sums:
    """Totals over the tokens that were scored, for the step's metrics."""

    loss: float = 0.0
    tokens: int = 0
    values: dict[str, float] = field(default_factory=dict)

    def add(self, tokens: int, **values: float) -> None:
        """Add one micro-batch."""
        self.tokens += tokens
        for name, value in values.items():
            self.values[name] = self.values.get(name, 0.0) + value

    def merge(self, other: Sums) -> None:
        """Add another's totals."""
        self.loss += other.loss
        self.add(other.tokens, **other.values)

    def mean(self, name: str) -> float:
        """A total per token; 0 when nothing was scored."""
        return self.values.get(name, 0.0) / max(1, self.tokens)


def microbatch_budget(config: Config, device: torch.device) -> Budget:
    """Tokens of a micro-batch, halved when memory runs out. A CPU is fastest while a layer's tensors fit its cache."""
    tokens = config.batch.microbatch_tokens or (512 if device.type == "cpu" else 16384)
    return Budget(tokens, 1, "the micro-batch", "batch.microbatch_tokens")


@dataclass(frozen=True)
class _Step:
    """What the parts of one step's update share."""

    policy: Policy
    batch: StepBatch
    config: Config
    budget: Budget

    def split(self, indices: Sequence[int]) -> tuple[list[list[int]], bool]:
        """Rollouts in micro-batches, and whether they are to be computed as tries."""
        batch, speed, shared = self.batch, self.config.speed, self.policy.shared_prefix
        if speed.share_histories and shared:
            alike = trie_microbatches(batch.rows, batch.responses, indices, self.budget.size)
            if alike is not None:
                return alike, True
        read = [
            len(ids) + (0 if shared else len(batch.prompts[row]))
            for ids, row in zip(batch.responses, batch.rows, strict=True)
        ]
        return microbatches(read, indices, self.budget.size, speed.sort_by_length), False

    def scorer(self, policy: Policy) -> Scorer:
        """Scores of the step's prompts."""
        logits = LOGITS_BUDGET if self.config.speed.chunk_logits else 1 << 62
        return Scorer(policy, self.batch.prompts, self.config.sampling.temperature, logits)

    def frozen(self, policy: Policy, indices: Sequence[int]) -> list[torch.Tensor]:
        """Log-probabilities without gradients."""
        batch = self.batch
        return in_pieces(
            self.budget,
            lambda: score_rollouts(self.scorer(policy), batch.rows, batch.responses, *self.split(indices)),
        )


def update(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    batch: StepBatch,
    config: Config,
    budget: Budget | None = None,
    reference: Policy | None = None,
) -> dict[str, float]:
    """Update the policy on a step's rollouts; returns the `policy/` metrics.

    On-policy (one minibatch, one epoch) the old log-probabilities are the trainer's own, detached. Rollouts of
    advantage 0 are not scored when neither entropy nor KL needs them; they still count in the denominator. `budget`
    is halved, and the minibatch done again, when memory runs out.

    Raises:
        OneshotError: the loss is not finite, raised before the optimizer's step; or memory ran out all the same.
    """
    algorithm, speed, count = config.algorithm, config.speed, len(batch.responses)
    step = _Step(policy, batch, config, budget or microbatch_budget(config, policy.device))
    on_policy = config.batch.minibatches == 1 and config.batch.epochs == 1 and speed.reuse_logprobs
    needs_all = bool(algorithm.entropy_coefficient) or reference is not None or not speed.skip_zero_advantage
    scored = [i for i in range(count) if needs_all or batch.advantages_B[i] != 0]
    old = None if on_policy else step.frozen(policy, scored)
    reference_logprobs = None if reference is None else step.frozen(reference, scored)
    totals, norms, losses = Sums(), [], []
    for epoch in range(config.batch.epochs):
        for part in batch.minibatches(config.batch.minibatches):
            used = sorted(set(part) & set(scored))

            def accumulate(used: list[int] = used, part: list[int] = part, first: bool = epoch == 0) -> Sums:
                optimizer.zero_grad(set_to_none=False)
                return _accumulate(step, used, batch.tokens(part), old, reference_logprobs, first)

            sums = in_pieces(step.budget, accumulate)
            norms.append(_take_step(optimizer, sums.loss, config.optimizer.max_grad_norm))
            losses.append(sums.loss)
            totals.merge(sums)
    sampled_entropy = -sum(sum(logprobs) for logprobs in batch.sampler_logprobs) / batch.tokens(range(count))
    return {
        "policy/loss": sum(losses) / len(losses),
        "policy/grad_norm": sum(norms) / len(norms),
        "policy/entropy": totals.mean("entropy") if needs_all else sampled_entropy,
        "policy/kl": totals.mean("kl"),
        "policy/clip_fraction": totals.mean("clipped"),
        "policy/sampler_gap": totals.mean("gap") * config.batch.epochs,
        "policy/scored_fraction": len(scored) / count,
        "batch/microbatch_tokens": step.budget.size,
    }


def _take_step(optimizer: torch.optim.Optimizer, loss: float, max_norm: float) -> float:
    """Clip the gradient and step; returns its norm before clipping.

    Raises:
        OneshotError: the loss or the norm is not finite; the weights are then as they were.
    """
    parameters = trained_parameters(optimizer)
    for parameter in parameters:
        if parameter.grad is None:  # a step without signal is a step all the same, resumed or not
            parameter.grad = torch.zeros_like(parameter)
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, max_norm))
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise OneshotError(
            f"the loss ({loss}) or its gradient ({norm}) is not finite; this update was not made",
            fix="Lower optimizer.learning_rate, or look at the last rollouts file.",
        )
    optimizer.step()
    return norm


def _accumulate(
    step: _Step,
    used: list[int],
    denominator: int,
    old: list[torch.Tensor] | None,
    reference: list[torch.Tensor] | None,
    first_epoch: bool,
) -> Sums:
    """Add the gradient of a minibatch, micro-batch by micro-batch."""
    sums = Sums()
    if not used:
        return sums
    with step.scorer(step.policy) as scorer:
        micros, as_tries = step.split(used)
        for micro in micros:
            _add_microbatch(scorer, step, micro, as_tries, denominator, old, reference, sums, first_epoch)
        scorer.backward()
    return sums


def _add_microbatch(
    scorer: Scorer,
    step: _Step,
    micro: list[int],
    as_tries: bool,
    denominator: int,
    old: list[torch.Tensor] | None,
    reference: list[torch.Tensor] | None,
    sums: Sums,
    first_epoch: bool,
) -> None:
    batch, algorithm, device = step.batch, step.config.algorithm, scorer.policy.device
    responses = [batch.responses[i] for i in micro]
    logprobs_BT, entropy_BT = scorer.score([batch.rows[i] for i in micro], responses, as_tries)
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
    gap = 0.0
    if first_epoch:
        sampled_BT = torch.zeros(mask_BT.shape, dtype=logprobs_BT.dtype)
        sampled_BT[mask_BT.cpu()] = torch.tensor([p for i in micro for p in batch.sampler_logprobs[i]]).to(sampled_BT)
        gap = float(((logprobs_BT.detach() - sampled_BT.to(device)).abs() * mask_BT).sum())
    sums.loss += float(terms.loss.detach())
    sums.add(
        int(mask_BT.sum()),
        entropy=float(terms.entropy_sum),
        kl=float(terms.kl_sum),
        clipped=float(terms.clipped_sum),
        gap=gap,
    )


def _stack(rows: Sequence[torch.Tensor], indices: Sequence[int], like_BT: torch.Tensor) -> torch.Tensor:
    """Rows of different lengths in one tensor of the shape, dtype and device of `like_BT`."""
    stacked_BT = torch.zeros_like(like_BT, requires_grad=False)
    for place, i in enumerate(indices):
        stacked_BT[place, : len(rows[i])] = rows[i]
    return stacked_BT
