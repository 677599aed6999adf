"""Advantages, losses and schedules against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from oneshot_rlvr.algorithms.losses import k1, k2, k3

from oneshot_rlvr.algorithms import dr_grpo_advantages, grpo_advantages, policy_loss, without_variance
from oneshot_rlvr.config import OptimizerSection
from oneshot_rlvr.policy import learning_rate_factor

NAN = float("nan")


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_grpo_advantage_uses_the_unbiased_std():
    # mean 0.25; std with ddof 1 = sqrt((0.75^2 + 3 * 0.25^2) / 3) = 0.5
    found = grpo_advantages(t([1.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(found, t([0.75, -0.25, -0.25, -0.25]) / (0.5 + 1e-6))


def test_a_group_without_variance_has_advantage_exactly_zero():
    assert (grpo_advantages(t([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])) == 0).all()


def test_equal_rewards_that_are_not_binary_have_advantage_exactly_zero():
    rewards = t([0.1, 0.1, 0.1], [0.7, 0.7, NAN], [0.1, 0.2, 0.1])
    assert (grpo_advantages(rewards)[:2] == 0).all()
    assert without_variance(rewards).tolist() == [True, True, False]
    assert without_variance(t([1.0], [NAN])).tolist() == [False, True]


def test_a_group_of_one_takes_mean_0_and_std_1():
    torch.testing.assert_close(grpo_advantages(t([1.0])), t([1.0]) / (1 + 1e-6))


def test_unscorable_rewards_leave_the_baseline():
    found = grpo_advantages(t([1.0, NAN, 0.0], [NAN, NAN, NAN]))
    torch.testing.assert_close(found[0, [0, 2]], grpo_advantages(t([1.0, 0.0]))[0])
    assert found[0, 1] == 0
    assert (found[1] == 0).all()


def test_dr_grpo_only_centres():
    torch.testing.assert_close(dr_grpo_advantages(t([1.0, 0.0, 0.0, 0.0])), t([0.75, -0.25, -0.25, -0.25]))


def test_on_policy_loss_is_minus_the_mean_advantage_and_its_gradient_is_reinforce():
    logprobs = t([-1.0, -2.0], [-3.0, -4.0]).requires_grad_()
    mask = torch.tensor([[True, True], [True, False]])
    terms = policy_loss(logprobs, logprobs.detach(), t(2.0, -1.0), torch.zeros(2, 2), mask, 3)
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
    mask = torch.ones(1, 1, dtype=torch.bool)
    terms = policy_loss(logprobs, old, t(advantage), torch.zeros(1, 1), mask, 1, clip_low=0.1, clip_high=0.3)
    terms.loss.backward()
    assert terms.loss.item() == pytest.approx(loss)
    assert logprobs.grad.item() == pytest.approx(gradient)
    assert terms.clipped_sum.item() == (gradient == 0)


def test_entropy_and_kl_terms():
    logprobs, reference = t([-1.0, -1.0]).requires_grad_(), t([-1.5, -1.0])
    entropy, mask = t([0.5, 0.7]), torch.tensor([[True, True]])
    terms = policy_loss(
        logprobs,
        logprobs.detach(),
        t(0.0),
        entropy,
        mask,
        2,
        entropy_coefficient=0.1,
        kl_coefficient=0.01,
        reference_logprobs_BT=reference,
    )
    kl = math.exp(-0.5) + 0.5 - 1
    assert terms.loss.item() == pytest.approx(-0.1 * 1.2 / 2 + 0.01 * kl / 2)
    assert terms.kl_sum.item() == pytest.approx(kl)
    assert terms.entropy_sum.item() == pytest.approx(1.2)


def test_kl_estimators_by_hand_and_on_average():
    logprobs, reference = t(-1.0), t(-1.5)
    assert k1(logprobs, reference).item() == pytest.approx(0.5)
    assert k2(logprobs, reference).item() == pytest.approx(0.125)
    assert k3(logprobs, reference).item() == pytest.approx(math.exp(-0.5) - 1 + 0.5)
    assert k3(t(-100.0), t(0.0)).item() == 10
    p, q = t(0.7, 0.2, 0.1), t(0.5, 0.3, 0.2)
    true = (p * (p / q).log()).sum()
    for estimator in (k1, k3):
        torch.testing.assert_close((p * estimator(p.log(), q.log())).sum(), true)


def test_an_empty_mask_gives_no_loss_and_no_gradient_and_inputs_stay():
    logprobs = t([-1.0, -2.0]).requires_grad_()
    before = logprobs.detach().clone()
    mask = torch.zeros(1, 2, dtype=torch.bool)
    terms = policy_loss(logprobs, logprobs.detach() - 5, t(1.0), t([0.3, 0.4]), mask, 1, entropy_coefficient=0.1)
    terms.loss.backward()
    assert terms.loss.item() == 0
    assert (logprobs.grad == 0).all()
    assert torch.equal(logprobs.detach(), before)


def test_losses_of_parts_add_up_to_the_loss_of_the_whole():
    torch.manual_seed(0)
    logprobs, old, entropy = (torch.randn(6, 5, dtype=torch.float64) for _ in range(3))
    advantages, mask = torch.randn(6, dtype=torch.float64), torch.rand(6, 5) < 0.7

    def loss(rows):
        return policy_loss(
            logprobs[rows],
            old[rows],
            advantages[rows],
            entropy[rows],
            mask[rows],
            int(mask.sum()),
            entropy_coefficient=0.3,
        ).loss

    torch.testing.assert_close(loss(slice(0, 2)) + loss(slice(2, 6)), loss(slice(0, 6)))


def test_schedules():
    constant = OptimizerSection(warmup_steps=4)
    assert [learning_rate_factor(constant, s, 10) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    cosine = OptimizerSection(schedule="cosine", min_ratio=0.1)
    assert learning_rate_factor(cosine, 0, 10) == 1.0
    assert learning_rate_factor(cosine, 5, 10) == pytest.approx(0.55)
    assert learning_rate_factor(cosine, 10, 10) == pytest.approx(0.1)
    twice = OptimizerSection(schedule="cosine", cycles=1.0)
    assert learning_rate_factor(twice, 5, 10) == pytest.approx(0.0)
    assert learning_rate_factor(twice, 10, 10) == pytest.approx(1.0)
