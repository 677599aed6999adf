"""Gated layers that keep less compute what they computed, to the bit."""

from __future__ import annotations

import copy

import pytest
import torch

from oneshot_rlvr.policy.lean import keep_less
from random_models import random_model


@pytest.mark.parametrize(("name", "layers"), [("qwen2", 2), ("llama", 2), ("qwen3", 2), ("gpt2", 0), ("gemma2", 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_and_gradients_are_the_models_own(name: str, layers: int, dtype: torch.dtype):
    plain = random_model(name, dtype)
    lean = copy.deepcopy(plain)
    assert keep_less(lean) == layers
    ids = torch.arange(24).view(2, 12) % 96
    logits = [model(input_ids=ids).logits for model in (plain, lean)]
    assert torch.equal(*logits)
    for found in logits:
        found.float().square().mean().backward()
    for (key, theirs), (_, ours) in zip(plain.named_parameters(), lean.named_parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=key)


def test_it_keeps_half_of_the_inner_activations():
    kept = []
    for lean in (False, True):
        model = random_model("qwen2")
        if lean:
            keep_less(model)
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            if tensor.shape[-1] == 48 and tensor.numel() == 40 * 48:  # as wide as the layer inside
                sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model(input_ids=torch.arange(40)[None]).logits
        kept.append(sum(sizes.values()))
        output.sum().backward()
    assert kept[1] == kept[0] / 2


def test_frozen_weights_get_no_gradient_and_adapters_theirs():
    model = random_model("qwen2")
    keep_less(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("embed" in name)
    model(input_ids=torch.arange(12)[None]).logits.sum().backward()
    assert model.get_input_embeddings().weight.grad is not None
    assert model.model.layers[0].mlp.down_proj.weight.grad is None


def test_a_layer_that_computes_something_else_is_left_alone():
    model = random_model("qwen2")
    kind = type(model.model.layers[0].mlp)

    class Doubled(kind):
        def forward(self, x):
            return 2 * super().forward(x)

    for layer in model.model.layers:
        layer.mlp.__class__ = Doubled
    assert keep_less(model) == 0
