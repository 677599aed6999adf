"""The plan counts what models really have, and says what fits."""

from __future__ import annotations

import json
import shutil

import pytest
from transformers import AutoModelForCausalLM

from command import oneshot, refused
from oneshot_rlvr.commands import patience, planner
from oneshot_rlvr.commands.cpu_rates import Took
from oneshot_rlvr.commands.patience import long_step, spoken, too_large
from oneshot_rlvr.commands.planner import (
    DEVICES,
    KNOWN,
    gpu_called,
    make_plan,
    others,
    scorings,
    shape_of,
    what_happened,
)
from oneshot_rlvr.config import Config, ModelSection, resolve
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.rollout.lockstep import cache_bytes_per_token
from oneshot_rlvr.runs import Run
from random_models import CONFIGS


def test_weights_and_cache_are_those_of_the_model():
    model = AutoModelForCausalLM.from_pretrained(model_folder("organism"))
    shape = shape_of(ModelSection(path="organism"))
    small = sum(p.numel() for name, p in model.named_parameters() if "norm" in name or "bias" in name)
    assert shape.parameters + small == model.num_parameters()
    assert 4 * shape.cached_values == cache_bytes_per_token(model)


@pytest.mark.parametrize(("name", "billions"), [("1.5B", 1.54), ("7B", 7.62)])  # as the model cards say
def test_known_shapes_have_their_published_sizes(name, billions):
    [path] = [path for path in KNOWN if path.endswith(name)]
    assert shape_of(ModelSection(path=path)).parameters / 1e9 == pytest.approx(billions, abs=0.01)


def test_a_plan_says_what_fits():
    config, _ = resolve("grpo", "qwen2.5-math-1.5b")
    assert make_plan(config, "h200")["fits"]
    assert not make_plan(config, "rtx4090")["fits"]
    seven = config.model_copy(update={"model": config.model.model_copy(update={"path": "Qwen/Qwen2.5-Math-7B"})})
    adapters = seven.model_copy(update={"model": seven.model.model_copy(update={"lora_rank": 16})})
    assert not make_plan(seven, "h100")["fits"]
    assert make_plan(adapters, "h100")["fits"]


def test_longer_responses_and_slower_devices_take_longer():
    config, _ = resolve("grpo", "qwen2.5-math-1.5b")
    times = [make_plan(config, "h200", length)["seconds"]["step"] for length in (300, 900, 2700)]
    assert times == sorted(times)
    assert make_plan(config, "a100", 900)["seconds"]["step"] > times[1]
    assert all(device.memory_gib > 20 for device in DEVICES.values())


def test_the_command_plans_and_compares_with_a_run(tmp_path):
    code, out, _ = oneshot("plan", "--model", "tiny", "--gpu", "cpu", "--length", 20)
    assert code == 0
    assert "fits in" in out
    run = tmp_path / "run"
    assert oneshot("train", "--model", "tiny", "--steps", 2, "--out", run, "--quiet")[0] == 0
    code, out, _ = oneshot("plan", "--gpu", "cpu", "--run", run)
    assert code == 0
    assert "tiny on cpu" in out
    step = make_plan(Run(run).config, "cpu", what_happened(Run(run))["mean_length"])["seconds"]["step"]
    assert 1 / 8 < step / what_happened(Run(run))["step"] < 8  # it was off by a factor of 9
    assert "nan" not in out
    assert "Did you mean 'h200'" in refused("plan", "--gpu", "h20")
    assert "no run in this folder" in refused("plan", "--run", tmp_path)


def test_a_plan_for_a_cpu_counts_a_cpus_micro_batch():
    """It used to count activations of 16384 tokens where the update takes 512 at a time."""
    config, _ = resolve("grpo", "organism")
    on_cpu, on_gpu = (make_plan(config, name)["memory_gib"]["update: activations"] for name in ("cpu", "h100"))
    assert on_gpu == pytest.approx(32 * on_cpu)
    given = config.model_copy(update={"batch": config.batch.model_copy(update={"microbatch_tokens": 1024})})
    assert make_plan(given, "cpu")["memory_gib"]["update: activations"] == pytest.approx(2 * on_cpu)


def test_a_profile_for_24_gb_fits():
    config, _ = resolve("grpo", "qwen2.5-math-1.5b-24gb")
    assert make_plan(config, "rtx4090")["fits"]


def test_a_base_that_is_shown_the_solution_is_planned():
    plans = {name: resolve(name, "qwen2.5-math-1.5b")[0] for name in ("opsd", "opd", "grpo-no-kl", "rent")}
    assert others(plans["opsd"]) == {"reference"}
    assert others(plans["opd"]) == {"teacher"}
    assert [scorings(config) for config in plans.values()] == [2, 2, 0, 2]


def test_bfloat16_moments_are_counted():
    """As `policy/compact.py` has it: two moments of two bytes, and the half of a master that a short weight lacks."""
    config, _ = resolve("grpo-no-kl", "qwen2.5-math-1.5b", {"model.dtype": "bfloat16"})
    weights = shape_of(config.model).parameters / 2**30
    for moments, bytes_each in (("float32", 12), ("bfloat16", 6)):
        optimizer = config.optimizer.model_copy(update={"moments": moments})
        found = make_plan(config.model_copy(update={"optimizer": optimizer}), "h200")["memory_gib"]["optimizer"]
        assert found == pytest.approx(bytes_each * weights)


def test_other_words_for_sizes_and_none(tmp_path):
    """GPT-2 calls them n_embd, n_layer, n_head; a configuration that is no configuration is one line."""
    CONFIGS["gpt2"].save_pretrained(tmp_path)
    shape = shape_of(ModelSection(path=str(tmp_path)))
    assert (shape.layers, shape.hidden, shape.heads, shape.head, shape.vocabulary) == (2, 32, 4, 8, 96)
    path, values = tmp_path / "config.json", json.loads((tmp_path / "config.json").read_text())
    for broken in (values | {"n_embd": "abc"}, values | {"n_head": 0}, []):
        path.write_text(json.dumps(broken))
        with pytest.raises(OneshotError, match=r"configuration|sizes"):
            shape_of(ModelSection(path=str(tmp_path)))
    path.write_text(json.dumps(values | {"auto_map": {"AutoConfig": "own.Own"}}))
    with pytest.raises(OneshotError, match="code of its own"):
        shape_of(ModelSection(path=str(tmp_path)))


def test_the_plan_is_of_what_would_be_trained(tmp_path):
    """A model that is here is asked what it asks for itself, as `oneshot train` does."""
    folder = tmp_path / "m"
    shutil.copytree(model_folder("tiny"), folder)
    (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": 200})
    )
    code, out, _ = oneshot("plan", "grpo", "--model", folder, "--gpu", "h200")
    assert code == 0
    assert "at a mean length of 50" in out  # half of its 200 places, and half of that


@pytest.mark.parametrize(("took", "said"), [(7.04, "7 s"), (119.0, "120 s"), (590.0, "9.8 min"), (69500.0, "19 h")])
def test_times_are_said_in_words(took: float, said: str):
    assert spoken(took) == said


def test_a_step_that_takes_hours_is_said_before_it_is_begun(monkeypatch: pytest.MonkeyPatch):
    config, _ = resolve("grpo-no-kl", "tiny", {"model.device": "cpu"})
    assert long_step(config) is None  # a small model

    def by_tokens(config: Config, shape: object, device: object, length: float) -> dict[str, float]:
        tokens = config.batch.groups_per_step * config.batch.group_size * config.sampling.max_new_tokens
        return {"step": float(tokens), "sample": 0.0, "update": 0.0, "waves": 1.0}

    monkeypatch.setattr(patience, "is_small", lambda section: False)
    monkeypatch.setattr(planner, "seconds", by_tokens)
    wanted = {"model.device": "cpu", "batch.groups_per_step": 16, "sampling.max_new_tokens": 1024}
    large, _ = resolve("grpo-no-kl", "tiny", wanted)
    less = "--set batch.groups_per_step=4 --set sampling.max_new_tokens=256"
    said = f"A step of 128 rollouts of up to 1,024 tokens takes about 36 h here; with {less} about 2.3 h"
    said += " (longer answers are cut off then)."
    assert long_step(large) == said
    few, _ = resolve("grpo-no-kl", "tiny", wanted | {"batch.groups_per_step": 4, "sampling.max_new_tokens": 200})
    assert long_step(few) == "A step of 32 rollouts of up to 200 tokens takes about 110 min here."
    short, _ = resolve("grpo-no-kl", "tiny", wanted | {"batch.groups_per_step": 1, "sampling.max_new_tokens": 64})
    assert long_step(short) is None


def test_what_does_not_fit_is_said_before_it_is_begun(monkeypatch: pytest.MonkeyPatch):
    config, _ = resolve("grpo-no-kl", "tiny", {"model.device": "cpu"})
    assert too_large(config) is None  # a small model
    monkeypatch.setattr(patience, "is_small", lambda section: False)
    fits = {"fits": True, "memory_gib": {"peak": 9.0}, "memory_of_device_gib": 16.0}
    assert too_large(config, fits) is None
    said = too_large(config, fits | {"fits": False, "memory_gib": {"peak": 54.4}})
    assert said is not None
    assert said.startswith("By plan it takes 54 GiB, and there are 16: it may run out of memory; adapters")


@pytest.mark.parametrize(
    ("name", "gib", "key"),
    [
        ("NVIDIA A100-SXM4-40GB", 39.4, "a100-40gb"),
        ("NVIDIA A100 80GB PCIe", 79.3, "a100"),
        ("NVIDIA GeForce RTX 4090", 23.6, "rtx4090"),
        ("NVIDIA H200", 140.4, "h200"),
        ("Tesla T4", 15.0, None),
    ],
)
def test_a_gpu_is_known_by_name_and_memory(name: str, gib: float, key: str | None):
    assert gpu_called(name, gib) == key


def test_a_run_is_compared_with_the_gpu_that_it_had(tmp_path):
    run = tmp_path / "run"
    assert oneshot("train", "--model", "tiny", "--steps", 2, "--out", run, "--quiet")[0] == 0
    about = Run(run).environment
    for gpu, title in (({"name": "NVIDIA L40S", "gib": 44.4}, "l40s"), ({"name": "Tesla T4", "gib": 15.0}, "h200")):
        Run(run).write_environment(about | {"device": "cuda:0", "gpu": gpu})
        assert f"tiny on {title}" in oneshot("plan", "--run", run)[1]


def test_a_plan_for_elsewhere_has_nothing_that_only_this_machine_would_choose(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("oneshot_rlvr.policy.model.is_small", lambda section: False)
    seen = []
    monkeypatch.setattr(planner, "make_plan", lambda config, gpu, length: seen.append(config) or 1 / 0)
    for gpu in ("l40s", "cpu"):
        with pytest.raises(ZeroDivisionError):
            oneshot("plan", "--model", "tiny", "--gpu", gpu, "--set", "model.dtype=auto")
    assert [(c.model.dtype == "auto", c.optimizer.moments) for c in seen] == [(True, "float32"), (False, "bfloat16")]


@pytest.mark.parametrize(
    "odd",
    [{"num_experts": 8}, {"num_local_experts": 8}, {"intermediate_size": [64, 128]}, {"num_key_value_heads": [2]}],
)
def test_mixtures_and_sizes_by_layer_are_not_planned(monkeypatch: pytest.MonkeyPatch, odd: dict[str, object]):
    section = ModelSection(path="Qwen/Qwen2.5-Math-1.5B")
    assert planner.known_shape(section) is not None
    monkeypatch.setitem(KNOWN, section.path, KNOWN[section.path] | odd)
    assert planner.known_shape(section) is None


def test_a_large_microbatch_is_not_made_for_a_plan(monkeypatch: pytest.MonkeyPatch):
    """16,384 tokens of a large vocabulary are 10 GB of logits; measured is a piece, and a token costs the same."""
    asked = []

    def measured(shape: object, tokens: int, dtype: object) -> tuple[Took, Took]:
        asked.append(tokens)
        return Took(tokens * 1e-3, tokens * 1e-3), Took(tokens * 2e-3, tokens * 2e-3)

    monkeypatch.setattr(planner, "learning", measured)
    times = []
    for size in (512, 16384):
        settings = {"batch.microbatch_tokens": size, "model.dtype": "float32", "model.device": "cpu"}
        config, _ = resolve("grpo-no-kl", "tiny", settings)
        times.append(planner.seconds(config, shape_of(config.model), planner.device_of("cpu"), 100)["update"])
    assert asked == [512, 512]
    assert times[0] == pytest.approx(times[1], rel=0.01)
