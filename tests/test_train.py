"""The loop on the tiny organism: determinism, resume, splits, the real data path, custom code."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from children import finish as finish_command
from children import start as start_command
from oneshot_rlvr.algorithms import Algorithm, Experience
from oneshot_rlvr.commands.session import chosen_problems, resume, start
from oneshot_rlvr.config import Config, SpeedSection, resolve
from oneshot_rlvr.errors import Interrupted, OneshotError
from oneshot_rlvr.policy import Scorer, make_optimizer
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.rollout import ScriptedSampler
from oneshot_rlvr.runs import Run
from oneshot_rlvr.training import prepare, train
from oneshot_rlvr.training.batching import microbatches, trie_microbatches
from oneshot_rlvr.training.models import Learner, Models
from oneshot_rlvr.training.source import problems_of_step
from oneshot_rlvr.training.update import update
from random_models import random_policy
from runs import STEPS, TINY, same, settings, tiny_run, weights


@pytest.fixture(scope="module")
def reference_run(tmp_path_factory) -> Run:
    return tiny_run(tmp_path_factory.mktemp("reference") / "run")


def test_one_seed_gives_the_same_weights_and_another_does_not(reference_run, tmp_path):
    assert same(weights(reference_run), weights(tiny_run(tmp_path / "again")))
    assert not same(weights(reference_run), weights(tiny_run(tmp_path / "other", seed=1)))


def test_three_kills_and_resumes_give_the_same_weights(reference_run, tmp_path):
    """SIGKILL at random moments after a step was recorded: in sampling, an update, a checkpoint, wherever they fall."""
    path, rng = tmp_path / "run", random.Random(time.time_ns())
    run = Run(path)
    begin = ["train", "grpo", "--model", "tiny", "--out", path, *(x for s in TINY for x in ("--set", s))]
    for kill in range(3):
        resumed = 0 if kill == 0 else run.resumable_step()
        process = start_command(*(begin if kill == 0 else ["train", "--resume", path]))
        deadline = time.monotonic() + 120
        if kill > 0:  # until the trainer has cut what is past its checkpoint
            stamp = run.metrics_path.stat().st_ino
            while run.metrics_path.stat().st_ino == stamp and time.monotonic() < deadline:
                time.sleep(0.002)
        while len(run.metrics()) < resumed + 1 and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed"
    assert finish_command("train", "--resume", path) == 0
    assert same(weights(reference_run), weights(run))
    assert [line["step"] for line in run.metrics()] == list(range(1, STEPS + 1))
    assert not list(path.rglob("*.tmp"))


def test_ctrl_c_saves_and_resume_goes_on(reference_run, tmp_path):
    config, sources = resolve("grpo", "tiny", TINY)
    run = Run(tmp_path / "run")

    def interrupt(step, steps, metrics):
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        start(run, config, sources, chosen_problems(config), interrupt)
    assert run.resumable_step() == 3
    resume(run)
    assert same(weights(reference_run), weights(run))


def test_the_command_exits_with_130_when_interrupted(tmp_path):
    out = tmp_path / "run"
    command = ["train", "grpo", "--model", "tiny", "--out", out, "--steps", 500]
    process = start_command(*command, said=tmp_path / "said")
    deadline = time.monotonic() + 120
    while not Run(out).metrics() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 130
    assert f"oneshot train --resume {out}" in said
    assert "Traceback" not in said
    assert Run(out).resumable_step() == len(Run(out).metrics())


def test_any_checkpoint_is_a_hugging_face_folder_and_generates(reference_run):
    for step in reference_run.steps():
        folder = reference_run.checkpoint_path(step)
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        ids = tokenizer("Question: What is 3 + 4 + 5?\nAnswer:", return_tensors="pt")["input_ids"]
        out = model.generate(ids, do_sample=False, max_new_tokens=30)
        assert tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()
        assert model.config._attn_implementation != "oneshot_shared_prefix"


def test_the_run_folder_holds_what_it_promises(reference_run):
    record = json.loads((reference_run.path / "config.json").read_text())
    assert record["sources"]["run.steps"] == "--set"
    assert json.loads((reference_run.path / "environment.json").read_text())["packages"]["torch"] == torch.__version__
    rows = reference_run.rollouts(1)
    assert len(rows) == 4 * 8
    assert {"problem_id", "text", "outcome", "reward", "advantage", "finish"} <= set(rows[0])
    metrics = reference_run.metrics()[0]
    assert metrics["policy/clip_fraction"] == 0
    assert metrics["policy/sampler_gap"] < 1e-4
    assert metrics["reward/mean"] == pytest.approx(sum(row["reward"] for row in rows) / len(rows))
    kept = [step for step in reference_run.steps() if (reference_run.checkpoint_path(step) / "trainer").is_dir()]
    assert kept == [8, 10]


def test_every_metric_is_in_the_glossary(reference_run):
    glossary = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()
    assert [name for name in reference_run.metrics()[0] if name != "step" and f"`{name}`" not in glossary] == []


def test_epochs_visit_every_problem_once():
    visited = [i for step in range(1, 9) for i in problems_of_step(8, 4, step, seed=1)]
    assert [sorted(visited[n : n + 8]) for n in range(0, 32, 8)] == [list(range(8))] * 4
    assert visited[:8] != visited[8:16]
    assert problems_of_step(1, 16, 5, 0) == [0] * 16


def scripted_experience(advantages, responses=None) -> Experience:
    """Two groups of four, with an advantage for each rollout."""
    generator = torch.Generator().manual_seed(0)
    responses = responses or [
        tuple(torch.randint(2, 90, (n,), generator=generator).tolist()) for n in (3, 7, 1, 5, 2, 9, 4, 6)
    ]
    return Experience(
        prompts=((5, 6, 7, 8), (9, 10)),
        prompt_B=(0, 0, 0, 0, 1, 1, 1, 1),
        group_B=(0, 0, 0, 0, 1, 1, 1, 1),
        responses=tuple(responses),
        rewards_B=torch.zeros(8),
        sampler=[torch.full((len(r),), -1.0) for r in responses],
        advantages=[torch.tensor(a).expand(len(r)) for a, r in zip(advantages, responses, strict=True)],
    )


def models_of(policy, optimizer=None, config=None, **frozen) -> Models:
    """A policy that learns by plain gradient descent, unless an optimizer is given."""
    optimizer = optimizer or torch.optim.SGD(policy.model.parameters(), lr=0.1)
    section = (config or settings()).optimizer
    return Models(policy, {"policy": Learner("policy", policy.model, optimizer, section)}, frozen)


def algorithm_of(config: Config) -> Algorithm:
    return Algorithm.of(config.algorithm, config.sampling.max_new_tokens)


def changed(config: Config, section: str, **values) -> Config:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


ADVANTAGES = [1.0, -1.0, 0.5, -0.5, 0.3, 0.0, 0.0, -0.3]


def updated(config: Config, dtype=torch.float64, reference: bool | str = False, responses=None) -> tuple[dict, dict]:
    policy = random_policy("qwen2", dtype)
    if not config.speed.shared_prefix:
        policy.shared_prefix = False
        policy.model.set_attn_implementation("sdpa")
    if not reference:
        config = changed(config, "algorithm", kl_coefficient=0.0)
    frozen = {"reference": random_policy("llama" if reference == "other" else "qwen2", dtype)} if reference else {}
    models = models_of(policy, config=config, **frozen)
    metrics = update(models, scripted_experience(ADVANTAGES, responses), algorithm_of(config), config)
    return metrics, {name: p.detach().clone() for name, p in policy.model.named_parameters()}


def assert_close(ours: dict, theirs: dict, tolerance: float = 1e-10) -> None:
    for name in theirs:
        assert ((ours[name] - theirs[name]).norm() / theirs[name].norm()).item() < tolerance, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_a_split_batch_is_one_batch(dtype, tolerance):
    whole_metrics, whole = updated(settings("batch.microbatch_tokens=10000"), dtype)
    for budget in (1, 12, 30):
        metrics, split = updated(settings(f"batch.microbatch_tokens={budget}"), dtype)
        assert_close(split, whole, tolerance)
        for name in ("policy/loss", "policy/entropy", "policy/grad_norm"):
            assert metrics[name] == pytest.approx(whole_metrics[name], rel=1e-4)


ALIKE = [(20, 21, 22, 1), (20, 21, 22, 1), (20, 21, 23, 24, 1), (20, 1), (20, 21, 22, 1), (20, 21, 25, 1), (20,), (1,)]


def test_every_mechanism_can_be_off_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(
        "oneshot_rlvr.training.scoring.LOGITS_BUDGET", 300
    )  # so that a vocabulary of 100 goes in chunks
    mechanisms = [name for name in SpeedSection.model_fields if name not in ("compaction", "grade_once", "cuda_graphs")]
    assert len(mechanisms) == 6
    free = ("algorithm.entropy_coefficient=0", "algorithm.kl_coefficient=0")
    for extra in ((), free, ("batch.minibatches=2",)):
        for responses in (None, ALIKE):
            metrics, everything = updated(settings(*extra), responses=responses)
            for name in mechanisms:
                other, off = updated(settings(*extra, f"speed.{name}=false"), responses=responses)
                assert_close(off, everything, 1e-9)
                assert other["policy/loss"] == pytest.approx(metrics["policy/loss"], abs=1e-9)


def test_out_of_memory_halves_the_microbatch_and_repeats_the_step(monkeypatch):
    _, expected = updated(settings("batch.minibatches=2"))
    calls, score = [], Scorer.score

    def sometimes(self, rows, responses, as_tries=False):
        calls.append(len(rows) * max(map(len, responses)))
        if calls[-1] > 9 and not torch.is_inference_mode_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return score(self, rows, responses, as_tries)

    monkeypatch.setattr(Scorer, "score", sometimes)
    with pytest.warns(UserWarning, match=r"micro-batch halved .* --set batch.microbatch_tokens=9 "):
        metrics, found = updated(settings("batch.minibatches=2", "batch.microbatch_tokens=36"))
    assert metrics["batch/microbatch_tokens"] == 9
    assert_close(found, expected)
    monkeypatch.setattr(Scorer, "score", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.warns(UserWarning), pytest.raises(OneshotError, match="as small as it goes"):
        updated(settings("batch.microbatch_tokens=4"))


def test_rollouts_of_advantage_zero_cost_nothing_and_change_nothing():
    free = settings("algorithm.entropy_coefficient=0", "algorithm.kl_coefficient=0")
    metrics, skipped = updated(free)
    assert metrics["policy/scored_fraction"] == 6 / 8
    _, everything = updated(settings("algorithm.entropy_coefficient=1e-300", "algorithm.kl_coefficient=0"))
    assert_close(skipped, everything, 1e-9)


def test_a_step_without_a_used_rollout_still_has_its_metrics():
    free = settings("algorithm.entropy_coefficient=0", "algorithm.kl_coefficient=0")
    models = models_of(random_policy("qwen2"), config=free)
    metrics = update(models, scripted_experience([0.0] * 8), algorithm_of(free), free)
    for name in ("kl", "clip_fraction", "sampler_gap", "loss", "grad_norm", "scored_fraction"):
        assert metrics[f"policy/{name}"] == 0
    assert metrics["policy/entropy"] == pytest.approx(1)  # the mean of -log p of what was sampled


def test_a_reference_equal_to_the_policy_changes_nothing_and_kl_is_measured():
    _, without = updated(settings())
    metrics, with_reference = updated(settings(), reference=True)
    assert metrics["policy/kl"] == pytest.approx(0, abs=1e-9)
    assert_close(with_reference, without, 1e-7)
    other, moved = updated(settings("algorithm.kl_coefficient=0.5"), reference="other")
    assert other["policy/kl"] > 0.01
    assert any(not torch.equal(moved[name], without[name]) for name in moved)


def test_minibatches_take_several_steps_and_the_ratio_leaves_one():
    _, once = updated(settings())
    metrics, twice = updated(
        settings("batch.minibatches=2", "batch.epochs=2", "algorithm.clip_low=0.001", "algorithm.clip_high=0.001")
    )
    assert metrics["policy/clip_fraction"] > 0
    assert not same(once, twice)


def test_the_sampler_gap_is_of_before_the_first_update():
    """With several minibatches it used to include how far earlier updates had moved the policy."""
    once, _ = updated(settings())
    for several in (["batch.minibatches=2"], ["batch.epochs=3"], ["batch.minibatches=2", "batch.epochs=2"]):
        metrics, _ = updated(settings(*several))
        assert metrics["policy/sampler_gap"] == pytest.approx(once["policy/sampler_gap"], rel=1e-9)


def test_a_loss_that_is_not_finite_stops_before_the_step():
    policy = random_policy("qwen2")
    batch, config = scripted_experience([float("inf")] * 8), settings("algorithm.kl_coefficient=0")
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    with pytest.raises(OneshotError, match=r"policy/(loss|grad_norm) is -?(nan|inf)"):
        update(models_of(policy, make_optimizer(policy.model, config.optimizer)), batch, algorithm_of(config), config)
    assert same(before, {name: p.detach() for name, p in policy.model.named_parameters()})


class FromStep(ScriptedSampler):
    """Mixed answers up to step 2, then only right ones: no signal any more."""

    def sample(self, prompts, n, params):
        step = params.seed[1]
        self.script = lambda prompt, copy: RIGHT if step > 2 or copy % 2 else WRONG
        return super().sample(prompts, n, params)


RIGHT, WRONG = r" The answer is \boxed{12}.", r" The answer is \boxed{1}."


def test_a_step_without_signal_is_the_same_step_after_a_resume(tmp_path, tokenizer):
    free = ["algorithm.entropy_coefficient=0", "algorithm.kl_coefficient=0", "run.steps=4", "run.save_every=2"]
    config, _ = resolve("grpo", "tiny", free)
    problem = Problem("p", "What is 3 + 4 + 5?", "12", "test")

    def steps(run, config):
        with run.locked():
            train(prepare(config, run, [problem], FromStep(tokenizer, lambda prompt, copy: "")))

    whole, cut = Run(tmp_path / "whole"), Run(tmp_path / "cut")
    steps(whole, config)
    steps(cut, config.model_copy(update={"run": config.run.model_copy(update={"steps": 2})}))
    steps(cut, config)
    assert whole.metrics()[-1]["group/zero_variance_fraction"] == 1
    assert not same(weights(whole, 2), weights(whole, 4))  # momentum and weight decay go on
    assert same(weights(whole, 4), weights(cut, 4))


def test_microbatches_keep_to_the_budget():
    lengths = [5, 1, 9, 3, 3, 20]
    batches = microbatches(lengths, range(6), 12)
    assert sorted(i for batch in batches for i in batch) == list(range(6))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 12 for batch in batches)
    assert [5] in batches


def test_prompts_are_encoded_under_the_budget_and_only_where_they_are_used(monkeypatch):
    """128 prompts of a pool at once would take more memory than the micro-batches that the budget is for."""
    shown, encode = [], Scorer._encode_prompts
    monkeypatch.setattr(Scorer, "_encode_prompts", lambda self: (shown.append(self.prompts), encode(self)))
    together, apart = ((5, 6, 7, 8), (9, 10)), [[(9, 10)], [(5, 6, 7, 8)]]
    for extra, expected in (
        (("batch.microbatch_tokens=8",), [[(9, 10), (5, 6, 7, 8)]]),
        (("batch.microbatch_tokens=7",), apart),
        (("batch.minibatches=2", "algorithm.kl_coefficient=0"), [[*together], *apart[::-1]]),  # old ones, two updates
    ):
        shown.clear()
        updated(settings(*extra))
        assert sorted(map(sorted, shown)) == sorted(map(sorted, expected)), extra


def test_responses_too_long_for_a_trie_are_not_taken_one_by_one():
    """Each would be a trie of its own, and share nothing."""
    opening = tuple(range(2, 252))
    responses = [(*opening, *[300 + i] * 20) for i in range(8)]
    assert trie_microbatches([0] * 8, responses, range(8), 4096) is None
    assert trie_microbatches([0] * 8, [r[-40:] for r in responses], range(8), 4096) == [list(range(8))]


def test_training_raises_the_probability_of_what_is_rewarded(tmp_path, tokenizer):
    """Fake the sampler, never the trainer: half the responses are right, and only they become likelier."""
    config, _ = resolve("grpo", "tiny", ["run.steps=5", "data.only=[pool-000]", "optimizer.learning_rate=1e-3"])
    [problem] = chosen_problems(config)
    right, wrong = rf" The answer is \boxed{{{problem.answer}}}.", r" The answer is \boxed{1}."
    run = Run(tmp_path / "run")
    sampler = ScriptedSampler(tokenizer, lambda prompt, copy: right if copy % 2 else wrong)
    with run.locked():
        trainer = prepare(config, run, [problem], sampler)
        train(trainer)
    metrics = run.metrics()
    assert metrics[0]["reward/mean"] == 0.5
    assert sampler.updates == 5
    from oneshot_rlvr.policy import Scorer

    ids = {text: (*tokenizer(text)["input_ids"], tokenizer.eos_token_id) for text in (right, wrong)}
    with torch.no_grad(), Scorer(trainer.models.policy, [trainer.source.encode(problem)], 1.0) as scorer:
        logprobs_BT, _ = scorer.score([0, 0], [ids[right], ids[wrong]])
    base = prepare(config, Run(tmp_path / "none"), [problem]).models.policy
    with torch.no_grad(), Scorer(base, [trainer.source.encode(problem)], 1.0) as scorer:
        base_BT, _ = scorer.score([0, 0], [ids[right], ids[wrong]])
    change = (logprobs_BT - base_BT).sum(1)
    assert change[0] > 1
    assert change[0] > change[1] + 1


def test_no_tracker_is_needed_and_tensorboard_gets_the_metrics(tmp_path):
    pytest.importorskip("tensorboard", reason="the tensorboard extra is not installed")
    run = tiny_run(tmp_path / "run", "run.steps=2", "run.loggers=[tensorboard]")
    assert list((run.path / "tensorboard").glob("events.*"))
