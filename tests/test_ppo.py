"""PPO: generalised advantages and value losses by hand, values under a shared prefix, the critic through a run."""

from __future__ import annotations

import dataclasses
import math
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

import children
from oneshot_rlvr.algorithms import ADVANTAGES, SURROGATES, LossInputs, Totals
from oneshot_rlvr.algorithms.gae import explained_variance, value_loss
from oneshot_rlvr.algorithms.kl_control import KlControl
from oneshot_rlvr.commands.session import chosen_problems, resume, start
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import Interrupted, OneshotError
from oneshot_rlvr.policy import Policy, ValueScorer
from oneshot_rlvr.policy.critic import as_critic
from oneshot_rlvr.runs import Run
from random_models import random_policy
from runs import same, weights
from test_algorithms import experience, t
from test_forward import ALIKE, PROMPTS, RESPONSES, relative

STEPS = 4
SMALL = [f"run.steps={STEPS}", "run.save_every=1", "batch.groups_per_step=4", "batch.group_size=4"]


def valued(values: list[list[float]], *groups: list[float | None]):
    seen = experience(*groups, lengths=[len(row) for row in values])
    return dataclasses.replace(seen, values=[t(*row) for row in values])


def test_generalised_advantages_by_hand():
    """delta = (0 + .9 x .2 - .5, 1 - .2); A_2 = .8, A_1 = -.32 + .9 x .5 x .8 = .04."""
    found = ADVANTAGES["gae"](valued([[0.5, 0.2]], [1.0]), gamma=0.9, lam=0.5, whiten=False)
    assert torch.allclose(found.advantages[0], t(0.04, 0.8))
    assert torch.allclose(found.returns[0], t(0.54, 1.0))


def test_with_lambda_1_the_targets_are_the_rewards_to_go_whatever_the_critic_says():
    found = ADVANTAGES["gae"](valued([[0.5, 0.2, -3.0], [7.0]], [1.0], [0.0]))
    assert torch.allclose(torch.cat(found.returns), t(1, 1, 1, 0))


def test_kl_is_part_of_the_reward():
    seen = valued([[0.0, 0.0]], [1.0])
    seen = dataclasses.replace(seen, old=[t(-1.0, -2.0)], reference=[t(-1.5, -1.0)])
    found = ADVANTAGES["gae"](seen, kl=0.1, whiten=False)
    assert torch.allclose(found.advantages[0], t(-0.05 + 1.1, 1.1))  # k1: 0.5 and -1


def test_a_critic_that_says_0_makes_it_reinforce_pp():
    groups = [[1.0, 0.0, None], [0.5, 0.25, 1.0]]
    seen = valued([[0.0] * n for n in (2, 3, 1, 4, 2, 2)], *groups)
    ours, theirs = ADVANTAGES["gae"](seen), ADVANTAGES["reinforce_pp"](seen)
    assert all(torch.equal(a, b) for a, b in zip(ours.advantages, theirs.advantages, strict=True))
    assert ours.advantages[2].tolist() == [0.0]
    assert ours.returns[2].isnan().all()


def test_the_value_loss_by_hand():
    """The clipped value is taken where it is further from the return."""
    loss, clipped = value_loss(t(0.9, 0.9, 0.1), before=t(0.0, 0.0, 0.0), returns=t(1.0, 0.2, 0.5), clip=0.5)
    assert torch.allclose(loss, 0.5 * t(0.5**2, 0.7**2, 0.4**2))
    assert clipped.tolist() == [True, False, False]


def test_explained_variance():
    returns = t(0.0, 1.0, 1.0, 0.0)
    assert explained_variance(returns, returns) == 1
    assert explained_variance(t(3, 3, 3, 3), returns) == pytest.approx(0)
    assert explained_variance(1 - returns, returns) == pytest.approx(-3)
    assert explained_variance(returns, t(1, 1, 1, 1)) == 0


def values_of(critic: Policy, responses, batches, as_tries: bool = False):
    """Values and gradients of a loss of them, over micro-batches."""
    critic.model.zero_grad(set_to_none=True)
    values, rows = {}, [i % 2 for i in range(len(responses))]
    with ValueScorer(critic, PROMPTS, 1.0) as scorer:
        for batch in batches:
            (values_BT,) = scorer.score([rows[i] for i in batch], [responses[i] for i in batch], as_tries)
            weights_B = torch.tensor([i + 1.0 for i in batch], dtype=values_BT.dtype)[:, None]
            (weights_B * (values_BT - 0.3) ** 2 * (values_BT != 0)).sum().backward()
            values |= {i: values_BT[row, : len(responses[i])].detach() for row, i in enumerate(batch)}
        scorer.backward()
    grads = {name: p.grad.clone() for name, p in critic.model.named_parameters() if p.grad is not None}
    return torch.cat([values[i] for i in range(len(responses))]), grads


@pytest.mark.parametrize("architecture", ["qwen2", "gpt2"])
def test_values_and_their_gradients_are_those_of_the_plain_forward_pass(architecture):
    critic = as_critic(random_policy(architecture, torch.float64))
    assert values_of(critic, RESPONSES, [[0, 1, 2, 3, 4]])[0].abs().max() == 0
    torch.nn.init.normal_(critic.model.get_output_embeddings().weight)
    critic.model.set_attn_implementation("sdpa")
    plain = dataclasses.replace(critic, shared_prefix=False)
    expected = {id(r): values_of(plain, r, [list(range(len(r)))]) for r in (RESPONSES, ALIKE)}
    critic.model.set_attn_implementation("oneshot_shared_prefix")
    for responses, batches, tries in [
        (RESPONSES, [[0, 1, 2, 3, 4]], False),
        (RESPONSES, [[3], [0, 4], [1, 2]], False),
        (ALIKE, [list(range(len(ALIKE)))], True),
    ]:
        (values, grads), (right, right_grads) = values_of(critic, responses, batches, tries), expected[id(responses)]
        assert relative(values, right) < 1e-10
        assert grads.keys() == right_grads.keys()
        assert all(relative(grads[name], right_grads[name]) < 1e-9 for name in grads)
    embedding = critic.model.get_input_embeddings().weight
    assert embedding.shape[0] > 1
    assert critic.model.get_output_embeddings().weight.shape[0] == 1


def ppo_run(path, *settings: str, recipe: str = "ppo", on_step=None) -> Run:
    config, sources = resolve(recipe, "tiny", [*SMALL, *settings])
    run = Run(path)
    start(run, config, sources, chosen_problems(config), on_step)
    return run


def critic_of(run: Run, step: int = STEPS) -> dict[str, torch.Tensor]:
    folder = run.checkpoint_path(step) / "trainer" / "critic"
    found = {name: tensor for path in sorted(folder.iterdir()) for name, tensor in load_file(path).items()}
    assert len(found) > len(load_file(folder / "weights.safetensors"))
    return found


@pytest.fixture(scope="module")
def reference_run(tmp_path_factory) -> Run:
    return ppo_run(tmp_path_factory.mktemp("ppo") / "run")


def test_the_critic_learns_and_says_how_well(reference_run):
    first, *_, last = reference_run.metrics()
    assert first["critic/value"] == 0
    assert first["critic/explained_variance"] == 0
    assert 0 <= first["critic/return"] <= 1
    assert last["critic/value"] != 0
    assert last["critic/learning_rate"] == 1e-5
    assert all(line["critic/grad_norm"] > 0 for line in (first, last))


def test_killed_and_resumed_it_is_the_same_to_the_bit_critic_included(reference_run, tmp_path):
    """SIGKILL once two steps are recorded; then an interruption."""
    settings = [part for setting in SMALL for part in ("--set", setting)]
    run = Run(tmp_path / "run")
    process = children.start("train", "ppo", "--model", "tiny", "--out", run.path, *settings)
    while len(run.metrics()) < 2 and process.is_alive():
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed"

    def interrupt(step, steps, metrics):
        if step == STEPS - 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        resume(run, on_step=interrupt)
    resume(run)
    assert same(weights(reference_run, STEPS), weights(run, STEPS))
    assert same(critic_of(reference_run), critic_of(run))


def test_a_critic_that_learns_nothing_makes_it_reinforce_pp(tmp_path):
    ours = ppo_run(tmp_path / "ppo", "critic.learning_rate=0")
    theirs = ppo_run(tmp_path / "reinforce", "algorithm.advantage=reinforce_pp", recipe="grpo")
    assert same(weights(ours, STEPS), weights(theirs, STEPS))


def test_micro_batches_change_nothing_but_rounding(tmp_path):
    split = ppo_run(tmp_path / "split", "batch.microbatch_tokens=40", "run.steps=1")
    ours, whole = critic_of(split, 1), critic_of(ppo_run(tmp_path / "whole", "run.steps=1"), 1)
    assert ours.keys() == whole.keys()
    moments = [name for name in ours if name.startswith("exp_avg/")]
    assert moments
    assert all(torch.allclose(ours[name], whole[name], rtol=1e-3, atol=1e-7) for name in moments)


def test_the_policy_waits_while_the_critic_warms_up(tmp_path):
    run = ppo_run(tmp_path / "run", "critic.warmup_steps=2", "run.steps=3", "run.keep_trainer_states=9")
    base = load_file(run.checkpoint_path(1) / "model.safetensors")
    assert same(base, weights(run, 2))
    assert not same(base, weights(run, 3))
    assert not same(critic_of(run, 1), critic_of(run, 2))
    waits, _, trains = lines = run.metrics()
    assert [line["policy/grad_norm"] > 0 for line in lines] == [False, False, True]
    assert trains.keys() - waits.keys() == {"policy/kl", "policy/clip_fraction", "policy/sampler_gap"}
    assert waits["policy/entropy"] == pytest.approx(trains["policy/entropy"], rel=0.5)  # by the sampler


def test_kl_is_steered_by_hand():
    """KL 0.5 and 0.3 by sequence, 0.4 on average, twice the target: c grows by the most, 0.2 x 2 / 10 of itself."""
    seen = dataclasses.replace(
        experience([1.0, 0.0], lengths=[2, 1]),
        old=[t(-1.0, -1.0), t(-1.0)],
        reference=[t(-1.4, -1.6), t(-1.3)],
    )
    control = KlControl.of(kl=0.1, kl_target=0.2, kl_horizon=10)
    said = control.update(seen)
    assert said == {"policy/kl_in_reward": pytest.approx(0.4), "policy/kl_coefficient": 0.1}
    assert control.coefficient == pytest.approx(0.1 * 1.04)
    below = KlControl.of(kl=0.1, kl_target=0.44, kl_horizon=10)
    below.update(seen)
    assert below.coefficient == pytest.approx(0.1 * (1 - (1 - 0.4 / 0.44) * 0.2))
    fixed = KlControl.of(kl=0.1)
    assert fixed.update(seen) == {}
    assert fixed.coefficient is None
    for nothing in ({"kl": 0.0}, {"kl_target": 0.0}, {"kl_horizon": 0}):
        with pytest.raises(OneshotError, match="steer nothing"):
            KlControl.of(**{"kl": 0.1, "kl_target": 0.1, **nothing})


def test_a_steered_coefficient_is_what_rewards_have():
    seen = dataclasses.replace(valued([[0.0, 0.0]], [1.0]), old=[t(-1.0, -2.0)], reference=[t(-1.5, -1.0)])
    steered = ADVANTAGES["gae"](dataclasses.replace(seen, kl_coefficient=0.3), kl=0.1, whiten=False)
    fixed = ADVANTAGES["gae"](seen, kl=0.3, whiten=False)
    assert all(torch.equal(a, b) for a, b in zip(steered.advantages, fixed.advantages, strict=True))


def test_resumed_kl_is_steered_on(tmp_path):
    unit = "algorithm.advantage='gae(kl=0.1, kl_target=0.001, kl_horizon=64)'"
    whole = ppo_run(tmp_path / "whole", unit)
    coefficients = [line["policy/kl_coefficient"] for line in whole.metrics()]
    assert coefficients[0] == 0.1
    assert len(set(coefficients)) == STEPS
    run = ppo_run(tmp_path / "run", unit, "run.steps=2")
    resume(run, steps=STEPS)
    assert [line["policy/kl_coefficient"] for line in run.metrics()] == coefficients
    assert same(weights(whole, STEPS), weights(run, STEPS))


def test_a_dual_clip_bounds_what_a_bad_token_costs():
    """A = -1 and r = 5: the loss is 5, and 3 with a dual clip of 3, without a gradient; A = 1 and r < 3 are as ever."""
    old, masks = torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool)
    logprobs = t([math.log(5), math.log(2), math.log(5)]).requires_grad_()
    advantages = t([-1.0, -1.0, 1.0])
    inputs = LossInputs(logprobs, old, masks, old, advantages, Totals(3, 1))
    plain, _ = SURROGATES["clipped"](inputs)
    dual, sums = SURROGATES["clipped"](inputs, dual=3.0)
    assert plain.tolist() == [[pytest.approx(5), pytest.approx(2), pytest.approx(-1.2)]]
    assert dual.tolist() == [[pytest.approx(3), pytest.approx(2), pytest.approx(-1.2)]]
    assert sums["clip_fraction"] == 2
    (gradient,) = torch.autograd.grad(dual.sum(), logprobs)
    assert gradient.tolist() == [[0, pytest.approx(2), 0]]
