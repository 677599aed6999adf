"""Advantages, surrogates, aggregations, penalties and schedules against values worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import pytest
import torch

from oneshot_rlvr.algorithms import (
    ADVANTAGES,
    AGGREGATIONS,
    KL_ESTIMATORS,
    SURROGATES,
    Algorithm,
    Experience,
    LossInputs,
    Totals,
    without_variance,
)
from oneshot_rlvr.config import AlgorithmSection, OptimizerSection
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.policy import learning_rate_factor

NAN = float("nan")


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


@dataclass
class Sampled:
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass
class Group:
    rollouts: list[Sampled]
    rewards: list[float | None]
    informed_ids: tuple[int, ...] | None = None


def experience(*groups: list[float | None], lengths: list[int] | None = None) -> Experience:
    """Groups of rollouts with these rewards; every group has a prompt of its own."""
    sizes = iter(lengths or [2] * sum(map(len, groups)))
    made = []
    for place, rewards in enumerate(groups):
        spans = [next(sizes) for _ in rewards]
        made.append(Group([Sampled((5, place), tuple(range(10, 10 + n)), (-1.0,) * n) for n in spans], list(rewards)))
    return Experience.of(made)


def advantages(name: str, *groups: list[float | None], **options) -> list[float]:
    """The advantage of every rollout, which all of its tokens have."""
    found = ADVANTAGES[name](experience(*groups), **options).advantages
    assert found is not None
    assert all((row == row[0]).all() and row.shape == (2,) for row in found)
    return [float(row[0]) for row in found]


def approx(*values: float):
    return pytest.approx(values, abs=1e-12)


def test_grpo_advantage_uses_the_unbiased_std():
    # mean 0.25; std with ddof 1 = sqrt((0.75^2 + 3 * 0.25^2) / 3) = 0.5
    assert advantages("grpo", [1, 0, 0, 0]) == approx(*(x / (0.5 + 1e-6) for x in (0.75, -0.25, -0.25, -0.25)))


def test_a_group_without_variance_has_advantage_exactly_zero():
    for name in ("grpo", "dr_grpo", "rloo", "max_rl"):
        assert advantages(name, [1, 1, 1], [0, 0, 0], [0.1, 0.1, 0.1]) == [0] * 9


def test_which_groups_have_no_variance():
    rewards = t([0.1, 0.1, 0.1], [0.7, 0.7, NAN], [0.1, 0.2, 0.1], [0.3, NAN, NAN])
    assert without_variance(rewards).tolist() == [True, True, False, True]
    assert without_variance(t([1.0], [NAN])).tolist() == [False, True]


def test_a_group_of_one_takes_mean_0_and_std_1():
    assert advantages("grpo", [1.0]) == approx(1 / (1 + 1e-6))
    for name in ("dr_grpo", "rloo", "max_rl"):
        assert advantages(name, [0.5], [None]) == [0.5, 0]


def test_unscorable_rewards_leave_the_baseline():
    for name in ("grpo", "dr_grpo", "rloo", "max_rl"):
        first, second = advantages(name, [1, 0])
        assert advantages(name, [1, None, 0], [None, None, None]) == [first, 0, second, 0, 0, 0]


def test_one_scorable_reward_in_a_group_is_compared_with_nothing():
    """It used to get advantage 1 / (1 + epsilon), as a group of one does."""
    for name in ("grpo", "dr_grpo", "rloo", "max_rl"):
        assert advantages(name, [1, None, None]) == [0, 0, 0]


def test_groups_of_different_sizes():
    for name in ("grpo", "dr_grpo", "rloo", "max_rl"):
        together = advantages(name, [1, 0, 0], [1, 0], [1])
        assert together == [*advantages(name, [1, 0, 0]), *advantages(name, [1, 0]), *advantages(name, [1])]


def test_dr_grpo_only_centres():
    assert advantages("dr_grpo", [1, 0, 0, 0]) == [0.75, -0.25, -0.25, -0.25]


def test_rloo_compares_with_the_others():
    # 1 - (0 + 0 + 0.5) / 3, 0 - (1 + 0 + 0.5) / 3, ...
    assert advantages("rloo", [1, 0, 0, 0.5]) == approx(1 - 0.5 / 3, -0.5, -0.5, 0.5 - 1 / 3)


def test_max_rl_divides_by_the_mean():
    assert advantages("max_rl", [1, 0, 0, 0]) == approx(3, -1, -1, -1)
    assert advantages("max_rl", [1, 1, 1, 0]) == approx(1 / 3, 1 / 3, 1 / 3, -1)
    assert advantages("max_rl", [-1, -2, 1, 0]) == [0, 0, 0, 0]  # a mean that is not positive


def test_ones_are_ones():
    assert advantages("ones", [0.3, None]) == [1, 1]


def test_reinforce_pp_whitens_over_the_tokens_of_the_batch():
    # without KL every token's return is its response's reward: 1, 1, 0, 0, 0 over five tokens
    found = ADVANTAGES["reinforce_pp"](experience([1, 0], lengths=[2, 3])).advantages
    mean, variance = 2 / 5, (2 * 0.6**2 + 3 * 0.4**2) / 4
    for row, reward in zip(found, (1, 0), strict=True):
        assert row.tolist() == pytest.approx([(reward - mean) / math.sqrt(variance + 1e-8)] * len(row))


def test_reinforce_pp_with_kl_in_the_reward_by_hand():
    seen = dataclasses.replace(
        experience([1, None], lengths=[2, 1]), old=[t(-1.0, -2.0), t(-1.0)], reference=[t(-1.5, -1.0), t(-1.0)]
    )
    found = ADVANTAGES["reinforce_pp"](seen, kl=0.1, gamma=0.5)
    # k1: 0.5 and -1; token rewards -0.05 and 0.1 + 1; returns to go -0.05 + 0.5 * 1.1 and 1.1
    returns = [-0.05 + 0.55, 1.1]
    assert found.returns[0].tolist() == pytest.approx(returns)
    mean = sum(returns) / 2
    scale = math.sqrt(sum((r - mean) ** 2 for r in returns) + 1e-8)
    assert found.advantages[0].tolist() == pytest.approx([(r - mean) / scale for r in returns])
    assert found.advantages[1].tolist() == [0]


def test_what_reinforce_pp_needs_depends_on_its_kl():
    def needs(text):
        return Algorithm.of(AlgorithmSection(advantage=text), 100).advantage_needs

    assert needs("reinforce_pp") == {"zero_advantage"}
    assert needs("reinforce_pp(kl=0.01)") == {"zero_advantage", "old", "reference"}


def inputs(logprobs, old=None, advantages=None, entropy=None, mask=None, totals=None, reference=None) -> LossInputs:
    mask = torch.ones(logprobs.shape, dtype=torch.bool) if mask is None else mask
    zeros = torch.zeros_like(logprobs, requires_grad=False)
    return LossInputs(
        logprobs_BT=logprobs,
        entropy_BT=zeros if entropy is None else entropy,
        mask_BT=mask,
        old_BT=logprobs.detach() if old is None else old,
        advantages_BT=zeros if advantages is None else advantages[:, None].expand_as(logprobs),
        totals=totals or Totals(int(mask.sum()), len(logprobs)),
        reference_BT=reference,
    )


def algorithm(**changes) -> Algorithm:
    return Algorithm.of(AlgorithmSection(**changes), max_new_tokens=10)


def test_on_policy_loss_is_minus_the_mean_advantage_and_its_gradient_is_reinforce():
    logprobs = t([-1.0, -2.0], [-3.0, -4.0]).requires_grad_()
    mask = torch.tensor([[True, True], [True, False]])
    terms = algorithm().loss(inputs(logprobs, advantages=t(2.0, -1.0), mask=mask))
    assert terms.loss.item() == pytest.approx(-(2 + 2 - 1) / 3)
    terms.loss.backward()
    torch.testing.assert_close(logprobs.grad, t([-2 / 3, -2 / 3], [1 / 3, 0.0]))


@pytest.mark.parametrize(
    ("advantage", "ratio", "loss", "gradient"),
    [
        (1.0, 1.1, -1.1, -1.1),  # inside the clip
        (1.0, 1.5, -1.3, 0.0),  # above 1 + high: clipped, no gradient
        (1.0, 0.5, -0.5, -0.5),  # a good answer that fell is pulled back up
        (-1.0, 0.5, 0.9, 0.0),  # below 1 - low: clipped
        (-1.0, 1.5, 1.5, 1.5),  # a bad answer that rose is pushed down
    ],
)
def test_clip_edges_for_both_signs(advantage, ratio, loss, gradient):
    old = t([-1.0])
    logprobs = (old + math.log(ratio)).requires_grad_()
    terms = algorithm(clip_low=0.1, clip_high=0.3).loss(inputs(logprobs, old, t(advantage)))
    terms.loss.backward()
    assert terms.loss.item() == pytest.approx(loss)
    assert logprobs.grad.item() == pytest.approx(gradient)
    assert terms.sums["clip_fraction"].item() == (gradient == 0)


@pytest.mark.parametrize(
    ("advantage", "ratios", "value", "gradients"),
    [  # s = sqrt(1.2 * 0.9) = 1.0392; the clip is 0.9 to 1.03 on the whole response
        (1.0, (1.2, 0.9), -1.03, (0, 0)),
        (-1.0, (1.2, 0.9), math.sqrt(1.08), (math.sqrt(1.08) / 2, math.sqrt(1.08) / 2)),
        (1.0, (1.0, 1.0), -1.0, (-0.5, -0.5)),
        (-1.0, (0.8, 0.7), 0.9, (0, 0)),
    ],
)
def test_gspo_clips_a_response_by_the_geometric_mean(advantage, ratios, value, gradients):
    old = t([-1.0, -2.0, -9.0])
    logprobs = (old + t([*(math.log(r) for r in ratios), 5.0])).requires_grad_()
    mask = torch.tensor([[True, True, False]])
    gspo = algorithm(surrogate="gspo(low=0.1, high=0.03)", aggregation="sequence_mean")
    terms = gspo.loss(inputs(logprobs, old, t(advantage), mask=mask))
    terms.loss.backward()
    assert terms.loss.item() == pytest.approx(value)
    assert logprobs.grad[0].tolist() == pytest.approx([*gradients, 0])
    assert terms.sums["clip_fraction"].item() == 2 * (gradients[0] == 0)


@pytest.mark.parametrize(("ratio", "weight"), [(1.1, 1.1), (1.5, 1.2), (0.5, 0.5), (0.05, 0.1)])
def test_cispo_bounds_the_weight_and_keeps_the_gradient(ratio, weight):
    old = t([-1.0])
    for advantage in (2.0, -1.0):
        logprobs = (old + math.log(ratio)).requires_grad_()
        terms = algorithm(surrogate="cispo(low=0.9, high=0.2)").loss(inputs(logprobs, old, t(advantage)))
        terms.loss.backward()
        assert terms.loss.item() == pytest.approx(-weight * advantage * logprobs.item())
        assert logprobs.grad.item() == pytest.approx(-weight * advantage)
        assert terms.sums["clip_fraction"].item() == (weight != ratio)


def test_log_likelihood_is_cross_entropy_where_advantages_are_one():
    logprobs = t([-1.0, -2.0]).requires_grad_()
    terms = algorithm(surrogate="log_likelihood").loss(inputs(logprobs, old=t([-3.0, -3.0]), advantages=t(1.0)))
    terms.loss.backward()
    assert terms.loss.item() == pytest.approx(1.5)
    assert logprobs.grad[0].tolist() == [-0.5, -0.5]


def test_without_a_policy_gradient_rewards_move_nothing():
    logprobs, advantages = t([-1.0, -2.0], [-0.5, -3.0]).requires_grad_(), t(2.0, -1.0)
    algorithm(surrogate="none").loss(inputs(logprobs, advantages=advantages)).loss.backward()
    assert logprobs.grad.abs().max() == 0


@pytest.mark.parametrize("surrogate", [name for name in SURROGATES if name not in ("log_likelihood", "none")])
def test_on_policy_every_ratio_has_the_gradient_of_reinforce(surrogate):
    logprobs, advantages = t([-1.0, -2.0], [-0.5, -3.0]).requires_grad_(), t(2.0, -1.0)
    mask = torch.tensor([[True, True], [True, False]])
    algorithm(surrogate=surrogate).loss(inputs(logprobs, advantages=advantages, mask=mask)).loss.backward()
    torch.testing.assert_close(logprobs.grad, t([-2 / 3, -2 / 3], [1 / 3, 0.0]))


def test_aggregations_by_hand():
    values, mask = t([1.0, 2.0, 9.0], [4.0, 9.0, 9.0]), torch.tensor([[True, True, False], [True, False, False]])
    totals = Totals(tokens=6, sequences=4)  # the rest of the minibatch is elsewhere

    def value(name, **options):
        total, divisor = AGGREGATIONS[name](values, mask, totals, **options)
        return float(total) / divisor

    assert value("token_mean") == pytest.approx(7 / 6)
    assert value("sequence_mean") == pytest.approx((1.5 + 4) / 4)
    assert value("constant_length", length=10) == pytest.approx(7 / 40)
    assert value("microbatch_mean") == pytest.approx(7 / 3 * 2 / 4)


def test_constant_length_is_the_runs_unless_given():
    assert algorithm(aggregation="constant_length").aggregation.options == {"length": 10}
    assert algorithm(aggregation="constant_length(length=7)").aggregation.options == {"length": 7}


def test_entropy_and_kl_terms():
    logprobs, reference = t([-1.0, -1.0]).requires_grad_(), t([-1.5, -1.0])
    seen = inputs(logprobs, entropy=t([0.5, 0.7]), reference=reference)
    terms = algorithm(entropy_coefficient=0.1, kl_coefficient=0.01).loss(seen)
    kl = math.exp(-0.5) + 0.5 - 1
    assert terms.loss.item() == pytest.approx(-0.1 * 1.2 / 2 + 0.01 * kl / 2)
    assert terms.sums["kl"].item() == pytest.approx(kl)
    assert terms.sums["entropy"].item() == pytest.approx(1.2)
    more = algorithm(penalties="0.5*kl(estimator='k1') - 2*entropy").loss(seen)
    assert more.loss.item() == pytest.approx(0.5 * 0.5 / 2 - 2 * 1.2 / 2)
    assert algorithm(entropy_coefficient=-1).loss(seen).loss.item() == pytest.approx(0.6)


def test_what_an_algorithm_needs():
    assert algorithm().needs == set()
    assert algorithm(entropy_coefficient=0.1).needs == {"zero_advantage"}
    assert algorithm(kl_coefficient=0.1).needs == {"reference", "zero_advantage"}
    assert algorithm(aggregation="microbatch_mean").needs == {"zero_advantage"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"advantage": "grop"}, "Did you mean 'grpo'"),
        ({"surrogate": "clipped + gspo"}, "is a sum"),
        ({"aggregation": "token_mean(x=1)"}, "It has: none"),
        ({"kl_estimator": "k4"}, "Did you mean"),
        ({"penalties": "entropie"}, "Did you mean 'entropy'"),
        ({"advantage": "grpo(epsilon='a')"}, "epsilon='a'"),
    ],
)
def test_mistakes_in_an_algorithm_are_named(changes, says):
    with pytest.raises(OneshotError, match=says) as error:
        algorithm(**changes)
    assert "algorithm." in str(error.value)


def test_kl_estimators_by_hand_and_on_average():
    k1, k2, k3 = (KL_ESTIMATORS[name] for name in ("k1", "k2", "k3"))
    logprobs, reference = t(-1.0), t(-1.5)
    assert k1(logprobs, reference).item() == pytest.approx(0.5)
    assert k2(logprobs, reference).item() == pytest.approx(0.125)
    assert k3(logprobs, reference).item() == pytest.approx(math.exp(-0.5) - 1 + 0.5)
    assert k3(t(-100.0), t(0.0)).item() == 10
    p, q = t(0.7, 0.2, 0.1), t(0.5, 0.3, 0.2)
    true = (p * (p / q).log()).sum()
    for estimator in (k1, k3):
        torch.testing.assert_close((p * estimator(p.log(), q.log())).sum(), true)


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_an_empty_mask_gives_no_loss_and_no_gradient_and_inputs_stay(surrogate, aggregation):
    logprobs = t([-1.0, -2.0]).requires_grad_()
    before = logprobs.detach().clone()
    seen = inputs(
        logprobs,
        logprobs.detach() - 5,
        t(1.0),
        t([0.3, 0.4]),
        torch.zeros(1, 2, dtype=torch.bool),
        Totals(tokens=1, sequences=1),
    )
    terms = algorithm(surrogate=surrogate, aggregation=aggregation, entropy_coefficient=0.1).loss(seen)
    terms.loss.backward()
    assert terms.loss.item() == 0
    assert (logprobs.grad == 0).all()
    assert torch.equal(logprobs.detach(), before)


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("aggregation", [name for name in AGGREGATIONS if name != "microbatch_mean"])
def test_losses_of_parts_add_up_to_the_loss_of_the_whole(surrogate, aggregation):
    torch.manual_seed(0)
    logprobs, old, entropy = (torch.randn(6, 5, dtype=torch.float64) for _ in range(3))
    advantages, mask = torch.randn(6, dtype=torch.float64), torch.rand(6, 5) < 0.7
    totals = Totals(int(mask.sum()), 6)

    def loss(rows):
        seen = inputs(logprobs[rows], old[rows], advantages[rows], entropy[rows], mask[rows], totals)
        return algorithm(surrogate=surrogate, aggregation=aggregation, entropy_coefficient=0.3).loss(seen).loss

    torch.testing.assert_close(loss(slice(0, 2)) + loss(slice(2, 6)), loss(slice(0, 6)))


def test_a_ragged_step_loses_no_rollout():
    seen = experience([1, 0, 0], [1, 0], [1], [0, 1])
    assert seen.minibatches(1) == [list(range(8))]
    assert seen.minibatches(2) == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert seen.minibatches(3) == [[0, 1, 2], [3, 4], [5, 6, 7]]
    assert sorted(b for part in seen.minibatches(9) for b in part) == list(range(8))


def test_an_advantage_that_returns_something_else_is_named(monkeypatch):
    bad = dataclasses.replace(algorithm(), advantage=dataclasses.replace(algorithm().advantage, function=lambda e: e))
    with pytest.raises(OneshotError, match=r"one tensor \[T\] a rollout"):
        bad.advantages(experience([1, 0]))


def test_schedules():
    constant = OptimizerSection(warmup_steps=5)
    assert [learning_rate_factor(constant, s, 10) for s in range(7)] == [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0]  # verl's
    cosine = OptimizerSection(schedule="cosine", min_ratio=0.1)
    assert learning_rate_factor(cosine, 0, 10) == 1.0
    assert learning_rate_factor(cosine, 5, 10) == pytest.approx(0.55)
    assert learning_rate_factor(cosine, 10, 10) == pytest.approx(0.1)
    twice = OptimizerSection(schedule="cosine", cycles=1.0)
    assert learning_rate_factor(twice, 5, 10) == pytest.approx(0.0)
    assert learning_rate_factor(twice, 10, 10) == pytest.approx(1.0)
