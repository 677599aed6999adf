"""Products with the weight first give what `linear` gives, where they are used, and are used for few rows alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import linear

from oneshot_rlvr.policy import few_rows
from random_models import random_model


@pytest.mark.parametrize("shape", [(1, 8), (5, 8), (2, 3, 8)])
@pytest.mark.parametrize("biased", [False, True])
def test_it_is_the_same_product(shape: tuple[int, ...], biased: bool):
    x, weight = torch.randn(shape, dtype=torch.float64), torch.randn(6, 8, dtype=torch.float64)
    bias = torch.randn(6, dtype=torch.float64) if biased else None
    found = few_rows.product(x, weight, bias)
    torch.testing.assert_close(found, linear(x, weight, bias))
    assert found.is_contiguous()


def test_a_model_decodes_the_same_and_learns_as_before(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(few_rows, "pays", lambda: True)
    plain = random_model("qwen2")
    assert few_rows.weights_first(plain) == 0  # all of its layers are small
    monkeypatch.setattr(few_rows, "WEIGHTS", 1)
    changed = copy.deepcopy(plain)
    assert few_rows.weights_first(changed) == 2 * 7 + 1
    asked: list[int] = []
    product = few_rows.product
    monkeypatch.setattr(few_rows, "product", lambda x, *rest: asked.append(x.shape[:-1].numel()) or product(x, *rest))
    ids = torch.arange(24).view(2, 12) % 96
    with torch.no_grad():
        torch.testing.assert_close(changed(input_ids=ids).logits, plain(input_ids=ids).logits)
        assert asked == [24] * 15
        changed(input_ids=torch.arange(96).view(8, 12))  # more rows than it is for
    losses = [model(input_ids=ids).logits.square().mean() for model in (plain, changed)]
    assert torch.equal(*losses)  # with gradients it is as before, to the bit
    assert len(asked) == 15


def test_other_precisions_and_processors_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(few_rows, "WEIGHTS", 1)
    monkeypatch.setattr(few_rows, "pays", lambda: True)
    assert few_rows.weights_first(random_model("qwen2", torch.bfloat16)) == 0
    assert few_rows.weights_first(random_model("qwen2")) == 15
    monkeypatch.setattr(few_rows, "pays", lambda: False)
    assert few_rows.weights_first(random_model("qwen2")) == 0
