"""Products by oneDNN give what `linear` gives, where they are used, and are used without gradients alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import linear

from oneshot_rlvr.policy import products
from random_models import random_model

needed = pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch has no oneDNN")


@needed
@pytest.mark.parametrize("shape", [(1, 8), (5, 8), (2, 3, 8), (700, 8)])
@pytest.mark.parametrize("biased", [False, True])
def test_it_is_the_same_product(shape: tuple[int, ...], biased: bool):
    x, weight = torch.randn(shape), torch.randn(6, 8)
    bias = torch.randn(6) if biased else None
    torch.testing.assert_close(products.product(x, weight, bias), linear(x, weight, bias))
    turned = torch.randn(8, *shape[:-1]).movedim(0, -1)  # not contiguous
    torch.testing.assert_close(products.product(turned, weight, bias), linear(turned, weight, bias))


@needed
def test_a_model_decodes_the_same_and_learns_as_before(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "pays", lambda: True)
    plain = random_model("qwen2")
    assert products.quicken(plain) == 0  # all of its layers are small
    monkeypatch.setattr(products, "WEIGHTS", 1)
    changed = copy.deepcopy(plain)
    assert products.quicken(changed) == 2 * 7 + 1
    asked: list[int] = []
    product = products.product
    monkeypatch.setattr(products, "product", lambda x, *rest: asked.append(x.shape[:-1].numel()) or product(x, *rest))
    ids = torch.arange(24).view(2, 12) % 96
    with torch.no_grad():
        torch.testing.assert_close(changed(input_ids=ids).logits, plain(input_ids=ids).logits)
        assert asked == [24] * 15
    losses = [model(input_ids=ids).logits.square().mean() for model in (plain, changed)]
    assert torch.equal(*losses)  # with gradients it is as before, to the bit
    assert len(asked) == 15


def test_other_precisions_and_processors_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "WEIGHTS", 1)
    monkeypatch.setattr(products, "pays", lambda: True)
    assert products.quicken(random_model("qwen2", torch.bfloat16)) == 0
    assert products.quicken(random_model("qwen2")) == 15
    monkeypatch.setattr(products, "pays", lambda: False)
    assert products.quicken(random_model("qwen2")) == 0
