"""What is trained in place of float32 weights: bfloat16 ones with masters, adapters."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from oneshot_rlvr.commands.session import chosen_problems, resume
from oneshot_rlvr.config import ModelSection, resolve
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.evaluation.checkpoints import checkpoints_of
from oneshot_rlvr.policy import load_policy, make_optimizer
from oneshot_rlvr.policy.lora import adapters_off
from oneshot_rlvr.policy.model import as_the_model_asks
from oneshot_rlvr.policy.optimizer import trained_parameters
from oneshot_rlvr.training import prepare
from runs import same, settings, tiny_run, weights


def test_bfloat16_weights_have_float32_masters_that_keep_small_updates(tmp_path):
    whole = tiny_run(tmp_path / "whole", "model.dtype=bfloat16", "optimizer.learning_rate=1e-5", "run.steps=4")
    base = load_file(Path(model_folder("tiny")) / "model.safetensors")
    after = weights(whole, 4)
    state = load_file(whole.checkpoint_path(4) / "trainer" / "optimizer.safetensors")
    moved = {name: state[f"master/{name}"] - base[name].bfloat16().float() for name in base}
    assert all(tensor.dtype == torch.bfloat16 for tensor in after.values())
    assert max(float(delta.abs().max()) for delta in moved.values()) < 5e-5
    large = base["model.norm.weight"].abs() > 0.5  # where a bfloat16 step is 2e-3 or more
    assert moved["model.norm.weight"][large].abs().min() > 0
    assert torch.equal(after["model.norm.weight"][large], base["model.norm.weight"][large].bfloat16())
    assert same({n: state[f"master/{n}"].bfloat16() for n in base}, after)


def test_a_bfloat16_run_resumes_to_the_same_weights(tmp_path):
    run = tiny_run(tmp_path / "run", "model.dtype=bfloat16", "optimizer.learning_rate=1e-3", "run.steps=4")
    expected = weights(run, 4)
    shutil.rmtree(run.checkpoint_path(4))
    resume(run)
    assert same(weights(run, 4), expected)


def test_auto_is_bfloat16_where_the_processor_multiplies_it_and_a_run_records_what_it_was(monkeypatch):
    path = model_folder("tiny")
    for found, small, dtype, why in [
        ({"avx512_bf16": True}, False, "bfloat16", "the processor computes in it"),
        ({"amx_bf16": True}, False, "bfloat16", "the processor computes in it"),
        ({"avx512_f": True, "avx512_bf16": False}, False, "float32", "no bfloat16 products on this processor"),
        ({"avx512_bf16": True}, True, "float32", "a small model"),
    ]:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        monkeypatch.setattr("oneshot_rlvr.policy.model.is_small", lambda section, small=small: small)
        config, sources = as_the_model_asks(*resolve("grpo", path, ["model.device=cpu"]))
        assert (config.model.dtype, sources["model.dtype"]) == (dtype, why)
        assert config.optimizer.moments == ("float32" if small else "bfloat16")
        assert (
            str(next(load_policy(ModelSection(path=path, device="cpu")).model.parameters()).dtype) == f"torch.{dtype}"
        )
    kept, sources = as_the_model_asks(*resolve("grpo", path, ["model.dtype=float64"]))
    assert (kept.model.dtype, sources["model.dtype"]) == ("float64", "--set")
    assert resolve("grpo", "organism")[0].model.dtype == "float32"


def test_a_run_with_autocast_takes_a_step(tmp_path):
    run = tiny_run(tmp_path / "run", "model.autocast=bfloat16", "run.steps=1")
    assert run.metrics()[0]["policy/grad_norm"] > 0


def test_masters_step_as_float32_weights_do():
    torch.manual_seed(0)
    short = torch.nn.Linear(8, 8).bfloat16()
    full = torch.nn.Linear(8, 8)
    full.load_state_dict({name: value.float() for name, value in short.state_dict().items()})
    section = settings("optimizer.learning_rate=1e-4").optimizer
    ours, theirs = make_optimizer(short, section), make_optimizer(full, section)
    for _ in range(5):
        gradient = torch.randn(8, 8).bfloat16()
        for _ in range(2):  # two micro-batches
            (short.weight * gradient).sum().backward()
            (full.weight * gradient.float()).sum().backward()
        for optimizer in (ours, theirs):
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
    torch.testing.assert_close(trained_parameters(ours)[0], full.weight)
    assert torch.equal(short.weight, full.weight.bfloat16())


def test_adapters_alone_are_trained_and_a_checkpoint_has_them_merged(tmp_path):
    settings = ("model.lora_rank=4", "optimizer.learning_rate=1e-2", "run.steps=4")
    run = tiny_run(tmp_path / "run", *settings)
    base, merged = load_file(Path(model_folder("tiny")) / "model.safetensors"), weights(run, 4)
    assert merged.keys() == base.keys()
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert changed == {name for name in base if "_proj.weight" in name}
    state = load_file(run.checkpoint_path(4) / "trainer" / "optimizer.safetensors")
    assert all(".lora_" in name for name in state)
    trainer = prepare(run.config, run, chosen_problems(run.config))
    ids = torch.tensor([trainer.source.encode(trainer.source.problems[0])])
    adapted = trainer.models.policy.model(input_ids=ids).logits
    loaded = AutoModelForCausalLM.from_pretrained(run.checkpoint_path(4))
    torch.testing.assert_close(loaded(input_ids=ids).logits, adapted, rtol=1e-3, atol=1e-3)
    shutil.rmtree(run.checkpoint_path(4))
    resume(run)
    assert same(weights(run, 4), merged)


def test_what_adapters_learn_over_bfloat16_weights_is_in_a_checkpoint_and_evaluated(tmp_path):
    """Merged in bfloat16, most weights would be those of the base again."""
    settings = ("model.lora_rank=4", "optimizer.learning_rate=1e-5", "model.dtype=bfloat16", "run.steps=2")
    run = tiny_run(tmp_path / "run", *settings)
    saved = AutoModelForCausalLM.from_pretrained(run.checkpoint_path(2))
    assert saved.dtype == torch.float32
    trainer = prepare(run.config, run, chosen_problems(run.config))
    layers = {n: m for n, m in trainer.models.policy.model.named_modules() if hasattr(m, "get_delta_weight")}
    for name, layer in layers.items():
        learnt = saved.get_submodule(name).weight - layer.base_layer.weight.float()
        torch.testing.assert_close(learnt, layer.get_delta_weight("default").float(), atol=1e-7, rtol=1e-2)
        rounded = (layer.base_layer.weight + layer.get_delta_weight("default").bfloat16()) == layer.base_layer.weight
        assert rounded.float().mean() > 0.5, name
    before, after = checkpoints_of(run)
    assert (before.section.dtype, after.section.dtype) == ("float32", "float32")


def test_the_base_of_adapters_is_the_policy_without_them(tmp_path):
    """No second copy of the weights: the reference's scores are those of the base, whatever the adapters are."""
    settings = ("model.lora_rank=4", "optimizer.learning_rate=1e-2", "algorithm.kl_coefficient=0.1", "run.steps=2")
    run = tiny_run(tmp_path / "run", *settings)
    trainer = prepare(run.config, run, chosen_problems(run.config))
    models = trainer.models
    assert models.frozen["reference"] is models.policy
    ids = torch.tensor([trainer.source.encode(trainer.source.problems[0])])
    base = AutoModelForCausalLM.from_pretrained(model_folder("tiny"))
    with torch.no_grad():
        adapted = models.policy.model(input_ids=ids).logits
        with adapters_off(models.policy.model):
            torch.testing.assert_close(models.policy.model(input_ids=ids).logits, base(input_ids=ids).logits)
        assert torch.equal(models.policy.model(input_ids=ids).logits, adapted)
    assert not torch.allclose(adapted, base(input_ids=ids).logits, atol=1e-3)
    assert all(p.requires_grad == (".lora_" in name) for name, p in models.policy.model.named_parameters())
    assert [line["policy/kl"] > 1e-6 for line in run.metrics()] == [False, True]
