"""Handing a run to verl and taking it back, as far as no verl is needed: mapping, rows, reward, logs, scripts."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess

import pyarrow.parquet as pq
import pytest
import torch

from command import oneshot, refused
from oneshot_rlvr.algorithms import ADVANTAGES
from oneshot_rlvr.cluster import Export, Shape, collect, export, overrides
from oneshot_rlvr.cluster.collect import merged
from oneshot_rlvr.cluster.export import hydra_lines
from oneshot_rlvr.cluster.folder import ENVIRONMENT, LAUNCH, Folder
from oneshot_rlvr.cluster.inside.attempts import Attempt
from oneshot_rlvr.cluster.inside.plugin import advantages_of
from oneshot_rlvr.cluster.preflight import STORAGE_UNITS, troubles
from oneshot_rlvr.cluster.scripts import VERL
from oneshot_rlvr.cluster.settings import CARRIED, LOCAL, MAPPED, REFUSED
from oneshot_rlvr.cluster.shape import INSIDE
from oneshot_rlvr.commands.session import chosen_problems
from oneshot_rlvr.config import names, resolve, valid_keys
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import write_json
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.runs import Run

EIGHT = Shape(8, 1, "m")


def settled(recipe: str = "grpo", model: str = "organism", *sets: str):
    return resolve(recipe, model, list(sets))


def exported(out, recipe: str = "grpo", *sets: str, gpus: int = 0) -> Folder:
    config, sources = settled(recipe, "tiny", *sets)
    return export(Export(config, sources, chosen_problems(config), gpus), out)


def test_every_key_has_one_fate():
    tables = (MAPPED, CARRIED, LOCAL, REFUSED)
    told = [key for table in tables for key in table]
    assert sorted(told) == sorted(valid_keys())


def test_the_documentation_has_the_tables():
    from oneshot_rlvr.commands.cluster import markdown
    from test_house import ROOT

    assert markdown() in (ROOT / "docs" / "cluster.md").read_text(), (
        "run: python -m oneshot_rlvr.commands.cluster, and paste it into docs/cluster.md"
    )


def test_grpo_becomes_what_verl_calls_so():
    found = overrides(settled()[0], EIGHT)
    actor = "actor_rollout_ref.actor"
    wanted = {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": True,
        "data.train_batch_size": 16,
        "actor_rollout_ref.rollout.n": 8,
        f"{actor}.ppo_mini_batch_size": 16,
        f"{actor}.policy_loss.loss_mode": "vanilla",
        f"{actor}.clip_ratio_c": 1e9,
        f"{actor}.loss_agg_mode": "token-mean",
        f"{actor}.entropy_coeff": 0.001,
        f"{actor}.use_kl_loss": True,
        f"{actor}.kl_loss_coef": 0.001,
        f"{actor}.kl_loss_type": "k3",
        f"{actor}.optim.lr": 1e-4,
        f"{actor}.optim.override_optimizer_config": {"eps": 1e-8},
        "actor_rollout_ref.rollout.top_k": -1,
        "trainer.total_training_steps": 100,
        "trainer.test_freq": 10,
    }
    assert {key: found.get(key) for key in wanted} == wanted


@pytest.mark.parametrize(
    ("sets", "key", "value"),
    [
        (["algorithm.advantage=dr_grpo"], "algorithm.norm_adv_by_std_in_grpo", False),
        (["algorithm.advantage=max_rl"], "algorithm.adv_estimator", "oneshot"),
        (["algorithm.advantage=grpo(epsilon=0.1)"], "algorithm.adv_estimator", "oneshot"),
        (["algorithm.advantage=gae(lam=0.95)"], "algorithm.lam", 0.95),
        (["algorithm.advantage=reinforce_pp(kl=0.01)"], "algorithm.kl_ctrl.kl_coef", 0.01),
        (["algorithm.surrogate=none"], "actor_rollout_ref.actor.policy_loss.loss_mode", "oneshot"),
        (["algorithm.surrogate=clipped(dual=3)"], "actor_rollout_ref.actor.clip_ratio_c", 3),
        (["algorithm.surrogate=clipped(clip_low=0.1)"], "actor_rollout_ref.actor.policy_loss.loss_mode", "oneshot"),
        (["algorithm.aggregation=constant_length"], "actor_rollout_ref.actor.loss_scale_factor", 128),
        (["algorithm.kl_coefficient=0"], "actor_rollout_ref.actor.use_kl_loss", False),
        (["batch.minibatches=4"], "actor_rollout_ref.actor.ppo_mini_batch_size", 4),
        (["run.validation=null"], "trainer.test_freq", -1),
        (["critic.warmup_steps=3"], "trainer.critic_warmup", 4),
        (["optimizer.betas=[0.8, 0.9]"], "critic.optim.betas", [0.8, 0.9]),
        (["model.dtype=float32"], "actor_rollout_ref.model.use_remove_padding", False),
        (["model.dtype=bfloat16"], "actor_rollout_ref.rollout.dtype", "bfloat16"),
    ],
)
def test_a_setting_is_mapped(sets, key, value):
    assert overrides(settled("grpo", "organism", *sets)[0], EIGHT)[key] == value


@pytest.mark.parametrize(
    ("sets", "named"),
    [
        (["algorithm.collector=refill(rounds=2)"], "algorithm.collector=refill(rounds=2)"),
        (["algorithm.reward=majority"], "algorithm.reward=majority"),
        (["algorithm.reward=accuracy + 0.1*length_kimi"], "algorithm.reward=length_kimi"),
        (["algorithm.advantage=distillation"], "algorithm.advantage=distillation"),
        (["algorithm.advantage=reinforce_pp(kl=0.1, kl_target=0.05)"], "algorithm.advantage=reinforce_pp"),
        (["algorithm.reward=test_cluster:shouting"], "algorithm.reward=test_cluster:shouting"),
        (["algorithm.advantage=gae(whiten=False)"], "algorithm.advantage=gae"),
        (["algorithm.aggregation=microbatch_mean"], "algorithm.aggregation=microbatch_mean"),
        (["algorithm.penalties=0.1*kl"], "algorithm.penalties=0.1*kl"),
        (["optimizer.moments=bfloat16"], "optimizer.moments=bfloat16"),
        (["run.stop_when=answer/entropy < 0.1"], "run.stop_when=answer/entropy < 0.1"),
        (["model.dtype=float64"], "model.dtype=float64"),
    ],
)
def test_what_verl_cannot_have_is_refused_by_name(sets, named):
    with pytest.raises(OneshotError) as refusal:
        overrides(settled("grpo", "organism", *sets)[0], EIGHT)
    assert str(refusal.value).startswith(named)


@pytest.mark.parametrize("recipe", names("recipes"))
def test_a_recipe_is_mapped_or_refused_in_one_line(recipe):
    config, sources = settled(recipe)
    try:
        found = Export(config, sources, [], 8).overrides()
    except OneshotError as refusal:
        assert "=" in str(refusal).split(":")[0]  # a key and its value
        return
    assert all("\n" not in line for line in hydra_lines(found))
    assert any(key.startswith("critic.") for key in found) == ("gae" in config.algorithm.advantage)


def shouting(problem, responses):
    return [float("!" in response.text) for response in responses]


def test_a_reward_that_says_it_compares_nothing_is_taken(monkeypatch):
    import test_cluster

    monkeypatch.setattr(test_cluster.shouting, "group", False, raising=False)
    overrides(settled("grpo", "organism", "algorithm.reward=test_cluster:shouting")[0], EIGHT)


def test_values_are_written_in_hydras_grammar():
    lines = hydra_lines({"a.b": True, "c": None, "d": [1, "x y"], "e": {"eps": 1e-8}, "f": "it's", "g": f"{INSIDE}/y"})
    assert lines == ["a.b=true", "c=null", "d=[1,'x y']", "e={eps:1e-08}", r"f='it\'s'", f"g={INSIDE}/y"]


def test_rows_are_the_local_loops_steps(tmp_path):
    folder = exported(tmp_path / "e", "grpo-full", "run.steps=3", "run.seed=5")
    config = folder.config
    rows = pq.read_table(folder.path / "train.parquet").to_pylist()
    assert len(rows) == 3 * config.batch.groups_per_step
    from oneshot_rlvr.training.source import problems_of_step

    problems = folder.problems()
    for step in (1, 2, 3):
        of_step = [row for row in rows if row["extra_info"]["step"] == step]
        wanted = problems_of_step(len(problems), config.batch.groups_per_step, step, 5)
        assert [row["extra_info"]["index"] for row in of_step] == wanted
        assert [row["reward_model"]["ground_truth"] for row in of_step] == [problems[i].answer for i in wanted]
        assert [row["extra_info"]["place"] for row in of_step] == list(range(len(wanted)))


def test_an_export_says_what_runs_it(tmp_path):
    folder = exported(tmp_path / "e", gpus=2)
    assert f"verl[vllm]=={VERL}" in (folder.path / "requirements.txt").read_text()
    for name in ("run.sh", "slurm.sh", "ray_job.sh", "install.sh"):
        assert os.access(folder.path / name, os.X_OK)
        assert subprocess.run(["bash", "-n", folder.path / name]).returncode == 0
    assert "trainer.n_gpus_per_node=2" in (folder.path / "overrides.txt").read_text().splitlines()
    assert str(tmp_path) not in (folder.path / "overrides.txt").read_text()  # it may be moved
    assert (folder.path / "model" / "config.json").exists()
    with pytest.raises(OneshotError, match="holds something"):
        exported(tmp_path / "e")


def test_hints_travel_as_questions(tmp_path):
    folder = exported(tmp_path / "e", "ghpo")
    first = folder.asked()[0]
    assert first.ratios == (0.0, 0.25, 0.5, 0.75)
    assert first.questions[0] == first.problem.question
    assert len(set(first.questions)) > 1


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """An export, and its `compute_score` as verl imports it."""
    from oneshot_rlvr.cluster.inside import reward, run

    folder = exported(tmp_path / "e", "grpo", "run.steps=2", "algorithm.reward=accuracy + 0.5*format")
    monkeypatch.setenv(ENVIRONMENT, str(folder.path))
    monkeypatch.setenv(LAUNCH, "7")
    for cached in (run.config, run.asked, reward.grader_of):
        cached.cache_clear()
    yield folder, reward.scorer(folder.path)
    for cached in (run.config, run.asked, reward.grader_of):
        cached.cache_clear()


def said(step: int, place: int, copy: int, text: str) -> dict:
    about = {"text": text, "finish": "stop", "tokens": len(text), "logprob": -1.5, "hint": 0.0, "attempt": 0}
    return {"index": 0, "split": "train", "oneshot": {"step": step, "place": place, "copy": copy, **about}}


def test_the_reward_is_our_graders(scored):
    folder, compute = scored
    gold = folder.problems()[0].answer
    right, wrong = rf"so \boxed{{{gold}}}", r"so \boxed{-12345}"
    assert compute("organism", right, gold, said(1, 0, 0, right))["score"] == 1.5
    assert compute("organism", wrong, gold, said(1, 0, 1, wrong)) == {"score": 0.5, "acc": 0.0, "outcome": "wrong"}
    assert compute("organism", "nothing", gold, said(1, 0, 2, "nothing"))["score"] == 0.0
    assert compute("organism", right, gold)["score"] == 1.5  # without our agent loop
    rows = folder.graded(7, "train", 1)
    assert [row["reward"] for row in rows] == [1.5, 0.5, 0.0]
    assert [row["copy"] for row in rows] == [0, 1, 2]


def test_a_run_is_collected(scored, tmp_path):
    folder, compute = scored
    gold = folder.problems()[0].answer
    right, wrong = rf"so \boxed{{{gold}}}", r"so \boxed{-12345}"
    for step, count in ((1, 1), (2, 3)):
        for copy in range(4):
            text = right if copy < count else wrong
            compute("organism", text, gold, said(step, 0, copy, text))
    logs = folder.path / "logs"
    logs.mkdir()
    for launch, steps in ((5, (1,)), (7, (1, 2))):
        (logs / f"console_{launch}.log").touch()
        lines = ({"step": step, "data": {"actor/grad_norm": 0.1 * launch, "timing_s/step": 2.0}} for step in steps)
        (logs / f"metrics_{launch}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = Run(tmp_path / "run")
    assert collect(folder, run) == 2
    first, second = run.metrics()
    assert (first["reward/mean"], second["reward/mean"]) == (0.75, 1.25)
    assert first["policy/grad_norm"] == pytest.approx(0.7)  # of the later launch
    assert (first["outcome/correct"], second["outcome/correct"]) == (0.25, 0.75)
    rows = run.rollouts(2)
    assert len(rows) == 4 and rows[0]["text"] == right and rows[0]["logprob"] == -1.5
    advantages = [row["advantage"] for row in rows]
    assert sum(advantages) == pytest.approx(0, abs=1e-5) and advantages[0] > 0 > advantages[3]
    assert collect(folder, run) == 2  # again changes nothing
    assert run.config == folder.config and run.state == "unfinished"
    assert oneshot("doctor", run.path)[0] in (0, 1)


def test_a_step_has_metrics_and_grades_of_one_launch(scored, tmp_path, monkeypatch):
    """The second launch began the step again and died: the first one's is whole."""
    folder, compute = scored
    gold = folder.problems()[0].answer
    right, wrong = rf"so \boxed{{{gold}}}", r"so \boxed{-12345}"
    compute("organism", right, gold, said(1, 0, 0, right))
    monkeypatch.setenv(LAUNCH, "8")
    compute("organism", wrong, gold, said(1, 0, 0, wrong))
    (folder.path / "logs").mkdir()
    for launch in (7, 8):
        (folder.path / "logs" / f"console_{launch}.log").touch()
    line = {"step": 1, "data": {"actor/grad_norm": None, "actor/loss": 0.5}}  # null: not finite
    (folder.path / "logs" / "metrics_7.jsonl").write_text(json.dumps(line) + "\n")
    collect(folder, run := Run(tmp_path / "run"))
    (metrics,) = run.metrics()
    assert metrics["reward/mean"] == 1.5 and metrics["policy/loss"] == 0.5 and "policy/grad_norm" not in metrics


def test_adapters_are_merged_under_the_models_own_names():
    """verl writes W, A and B beside each other: W + alpha / r B A."""
    own, layer = torch.eye(3), "base_model.model.model.layers.0.q_proj"
    a, b = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    tensors = {f"{layer}.base_layer.weight": own, f"{layer}.base_layer.bias": torch.ones(3)}
    tensors |= {f"{layer}.lora_A.default.weight": a, f"{layer}.lora_B.default.weight": b}
    found = merged(tensors | {"base_model.model.model.norm.weight": torch.ones(2)}, alpha=6)
    assert sorted(found) == ["model.layers.0.q_proj.bias", "model.layers.0.q_proj.weight", "model.norm.weight"]
    assert torch.equal(found["model.layers.0.q_proj.weight"], own + 3 * (b @ a))


def test_a_step_without_grades_is_named(scored, tmp_path):
    folder, _ = scored
    (folder.path / "logs").mkdir()
    (folder.path / "logs" / "console_7.log").touch()
    (folder.path / "logs" / "metrics_7.jsonl").write_text('{"step": 1, "data": {}}\n')
    with pytest.raises(OneshotError, match="step 1 has no grades"):
        collect(folder, Run(tmp_path / "run"))
    assert not Run(tmp_path / "run").started


def test_verl_has_logged_nothing(tmp_path):
    with pytest.raises(OneshotError, match="logged no step"):
        collect(exported(tmp_path / "e"), Run(tmp_path / "run"))


def test_ours_in_verls_form_is_ours():
    """Rewards [B] in any order of groups, padded to [B, T]."""
    rewards_B = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    mask_BT = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 1, 0]])
    groups = ["b", "a", "b", "a", "b", "a"]  # b: 1 0 1, a: 0 1 0
    found = advantages_of(ADVANTAGES.unit("max_rl"), rewards_B, mask_BT, groups)
    wanted_B = torch.tensor([0.5, -1.0, -1.0, 2.0, 0.5, -1.0])  # (r - mean) / mean of 2/3 and 1/3
    assert torch.allclose(found, wanted_B[:, None] * mask_BT, atol=1e-5)


def test_a_group_agrees_on_its_next_attempt():
    async def answers(*right: bool) -> list[bool]:
        attempt = Attempt(len(right))

        async def of(one: bool) -> bool:
            await asyncio.sleep(0.001)
            return one

        return await asyncio.gather(*(attempt.failed(of(one)) for one in right))

    assert asyncio.run(answers(False, False)) == [True, True]
    assert asyncio.run(answers(False, True, False)) == [False, False, False]


def test_no_rollout_waits_for_one_that_failed_before_it_answered():
    async def wrong() -> bool:
        return False

    async def both() -> list:
        attempt = Attempt(2)
        waiting = asyncio.gather(attempt.failed(wrong()), return_exceptions=True)
        await asyncio.sleep(0.01)
        attempt.fail(ValueError("vLLM died"))
        return list(await asyncio.wait_for(waiting, 5))

    assert [type(error) for error in asyncio.run(both())] == [RuntimeError]


def test_no_rollout_waits_for_one_that_failed():
    async def broken() -> bool:
        raise ValueError("the grader died")

    async def wrong() -> bool:
        return False

    async def both() -> list:
        attempt = Attempt(2)
        waiting = [attempt.failed(wrong()), attempt.failed(broken())]
        return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)

    found = asyncio.run(both())
    assert [type(error) for error in found] == [RuntimeError, ValueError]


def healthy(**other) -> dict:
    packages = dict.fromkeys(("ray", "TransferQueue", "vllm", "flash-attn", "math-verify", "oneshot-rlvr"), "1")
    there = {"packages": packages | {"verl": VERL}, "plugin": None, "cpus": 64, "gpus": 8, "memory_gib": [80.0] * 8}
    return there | {"longest": 20, "places": 512} | other


def test_preflight_finds_nothing_where_all_is_well(tmp_path):
    assert list(troubles(exported(tmp_path / "e", "grpo", "batch.groups_per_step=8", gpus=8), healthy())) == []


@pytest.mark.parametrize(
    ("sets", "gpus", "other", "said"),
    [
        ([], 8, {"packages": healthy()["packages"] | {"verl": "0.8.0"}}, "verl is 0.8.0"),
        ([], 8, {"packages": healthy()["packages"] | {"flash-attn": None}}, "flash-attn is not installed"),
        ([], 8, {"plugin": "no entry point"}, "does not load our plugin: no entry point"),
        ([], 7, {}, "do not split over 7 processes"),
        ([], 8, {"gpus": 2}, "2 GPUs are here"),
        ([], 8, {"cpus": STORAGE_UNITS}, "hangs on 8 CPUs: 8 GPUs and 8 storage units reserve 34"),
        ([], 8, {"model": "no such file"}, "does not load: no such file"),
        ([], 8, {"longest": 200}, "a prompt has 200 tokens"),
        ([], 8, {"places": 70}, "exceed the model's 70"),
        (["run.steps=100000000", "run.save_every=1"], 8, {}, "checkpoints take"),
    ],
)
def test_preflight_names_what_would_fail(tmp_path, sets, gpus, other, said, monkeypatch):
    config, sources = settled("grpo", "tiny", "batch.groups_per_step=8", *sets)
    config = config.model_copy(update={"run": config.run.model_copy(update={"steps": 2})})
    folder = export(Export(config, sources, chosen_problems(config), gpus), tmp_path / "e")
    if sets:
        about = folder.about
        about["config"]["run"] |= {"steps": 100_000_000, "save_every": 1}
        write_json(folder.path / "export.json", about)
    found = list(troubles(folder, healthy(**other)))
    assert len(found) == 1 and said in found[0] and found[0].rstrip().endswith((".", "="))


def test_the_command_exports(tmp_path):
    asked = ("cluster", "export", "grpo", "--model", "tiny", "--gpus", "0", "--steps", "2", "--out", tmp_path / "e")
    assert oneshot(*asked)[0] == 0
    assert Folder.at(tmp_path / "e").config.run.steps == 2
    assert "algorithm.collector=refill" in refused(
        "cluster", "export", "dapo", "--model", "tiny", "--out", tmp_path / "d"
    )
    assert not (tmp_path / "d").exists()
    assert "no export in this folder" in refused("cluster", "run", tmp_path / "nothing")


def test_a_model_that_is_not_here_is_exported_as_configured(tmp_path):
    problems = tmp_path / "p.jsonl"
    problems.write_text(json.dumps({"id": "a", "question": "1 + 1?", "answer": "2"}) + "\n")
    sets = ("--set", "model.template=boxed", "--steps", "2", "--problems", problems)
    code, out, _ = oneshot(
        "cluster", "export", "grpo", "--model", "nobody/no-such-model", *sets, "--out", tmp_path / "e"
    )
    assert code == 0 and "the model is not here" in out.replace("\n", " ")
    assert "actor_rollout_ref.model.path='nobody/no-such-model'" in (tmp_path / "e" / "overrides.txt").read_text()


def test_an_unscorable_gold_is_refused(tmp_path):
    config, sources = settled("grpo", "tiny")
    with pytest.raises(OneshotError, match="cannot be scored"):
        export(Export(config, sources, [Problem("a", "?", " ", "mine")], 0), tmp_path / "e")
