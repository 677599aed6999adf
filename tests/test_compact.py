"""AdamW in 12 bytes a parameter: nothing is lost of masters, and little of moments."""

from __future__ import annotations

import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oneshot_rlvr.commands.session import resume
from oneshot_rlvr.policy import make_optimizer
from oneshot_rlvr.policy.compact import CompactAdamW, joined, rounded, split
from runs import same, settings, tiny_run, weights

RULES = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}


LARGE = 2.0**126


@given(st.lists(st.floats(-LARGE, LARGE, width=32, allow_subnormal=False), min_size=1))
def test_a_weight_and_its_low_bits_are_the_master_to_the_bit(numbers: list[float]):
    values = torch.tensor(numbers)
    high, low = torch.empty(len(numbers), dtype=torch.bfloat16), torch.empty(len(numbers), dtype=torch.int16)
    split(values, high, low)
    assert torch.equal(joined(high, low), values)
    torch.testing.assert_close(high, values.bfloat16(), rtol=2**-7, atol=0)


def test_every_pattern_of_low_bits_comes_back():
    for begin in (0x3F80, 0x3F81, 0xBF80, 0xBF81):
        bits = torch.arange(1 << 16, dtype=torch.int64) + (begin << 16)
        values = (bits - ((bits >> 31) << 32)).int().view(torch.float32)
        high, low = torch.empty(1 << 16, dtype=torch.bfloat16), torch.empty(1 << 16, dtype=torch.int16)
        split(values, high, low)
        assert torch.equal(joined(high, low), values)
        assert bool(((high.float() - values).abs() <= (values.bfloat16().float() - values).abs()).all())


def test_random_rounding_is_right_in_the_mean_and_leaves_what_needs_none():
    generator = torch.Generator().manual_seed(0)
    value = torch.full((100_000,), 1.001)
    noise = torch.randint(0, 1 << 16, (100_000,), dtype=torch.int32, generator=generator)
    found = rounded(value, noise).float()
    assert set(found.tolist()) == {1.0, 1.0078125}
    assert float(found.mean()) == pytest.approx(1.001, abs=1e-4)
    assert torch.equal(
        rounded(torch.tensor([0.0, 2.0]), torch.tensor([65535, 65535], dtype=torch.int32)).float(),
        torch.tensor([0.0, 2.0]),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_its_steps_are_adamws(dtype: torch.dtype):
    torch.manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(4000).to(dtype))
    usual = torch.nn.Parameter(ours.detach().float().clone())
    compact, adamw = CompactAdamW([ours], **RULES), torch.optim.AdamW([usual], **RULES)
    begun = usual.detach().clone()
    for _ in range(300):
        gradient = torch.randn(4000) * torch.linspace(0.01, 3, 4000) + 0.1
        for weight, optimizer in ((ours, compact), (usual, adamw)):
            weight.grad = gradient.clone()
            optimizer.step()
    state = compact.state[ours]
    master = joined(ours.detach(), state["low"]) if dtype == torch.bfloat16 else ours.detach()
    moved = usual.detach() - begun
    assert float((master - usual.detach()).norm() / moved.norm()) < 0.02
    ratio = state["exp_avg_sq"].float() / adamw.state[usual]["exp_avg_sq"]
    assert float(ratio.mean()) == pytest.approx(1.0, abs=2e-3)  # to the nearest it would stand still


def test_short_weights_gather_gradients_in_float32():
    weight = torch.nn.Parameter(torch.ones(4).bfloat16())
    CompactAdamW([weight], **RULES)
    for _ in range(300):
        (weight * torch.tensor(0.01).bfloat16()).sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    assert float(weight.grad[0]) == pytest.approx(300 * float(torch.tensor(0.01).bfloat16()), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_resumes_to_the_same_weights(tmp_path, dtype: str):
    chosen = (f"model.dtype={dtype}", "optimizer.moments=bfloat16", "optimizer.learning_rate=1e-3", "run.steps=4")
    run = tiny_run(tmp_path / "run", *chosen)
    expected = weights(run, 4)
    shutil.rmtree(run.checkpoint_path(4))
    resume(run)
    assert same(weights(run, 4), expected)


def test_twelve_bytes_a_parameter():
    model = torch.nn.Linear(100, 100, bias=False)
    for dtype in (torch.float32, torch.bfloat16):
        model = model.to(dtype)
        optimizer = make_optimizer(model, settings("optimizer.moments=bfloat16").optimizer)
        model.weight.grad = torch.zeros(100, 100)
        optimizer.step()
        held = [model.weight, model.weight.grad, *(v for v in optimizer.state[model.weight].values() if v.ndim)]
        assert sum(tensor.nbytes for tensor in held) == 12 * model.weight.numel()
        model = torch.nn.Linear(100, 100, bias=False)
