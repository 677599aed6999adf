"""The vLLM sampler against an engine that behaves as vLLM's documentation says: a fake, for want of a GPU."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from oneshot_rlvr.commands.session import chosen_problems, start
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import Sampling, get_protocol
from oneshot_rlvr.evaluation.target import Options, evaluate_target
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.problems import find_problems, to_jsonl
from oneshot_rlvr.rollout import LockstepSampler, Prompt, SamplingParams
from oneshot_rlvr.rollout.vllm_sampler import VllmSampler
from oneshot_rlvr.runs import Run
from oneshot_rlvr.training import prepare, train

SETTINGS = ["sampling.sampler=vllm", "run.steps=3", "run.save_every=3", "optimizer.learning_rate=1e-3"]


class FakeEngine:
    """Sleeps, wakes, takes weights and generates; refuses to do so in the wrong order."""

    made: FakeEngine

    def __init__(self, model: str, **options: object) -> None:
        FakeEngine.made, self.options, self.awake = self, options, {"weights", "kv_cache"}
        self.policy = load_policy(resolve("grpo", "tiny", [f"model.path={model}"])[0].model)
        self.calls: list[str] = []

    def sleep(self, level: int) -> None:
        assert level == 2
        self.calls.append("sleep")
        self.awake = set()
        with torch.no_grad():
            for parameter in self.policy.model.parameters():
                parameter.fill_(float("nan"))

    def wake_up(self, tags: list[str]) -> None:
        self.calls.append(f"wake {tags[0]}")
        self.awake |= set(tags)

    def apply_model(self, function) -> list[object]:
        assert "weights" in self.awake
        self.calls.append("load")
        return [function(SimpleNamespace(load_weights=self.load))]

    def load(self, weights) -> None:
        own = dict(self.policy.model.named_parameters())
        with torch.no_grad():
            for name, tensor in weights:
                if name != "lm_head.weight":  # tied
                    own.pop(name).copy_(tensor)
        assert not own, "weights were left out"

    def reset_prefix_cache(self) -> None:
        self.calls.append("reset")

    def generate(self, inputs, settings, use_tqdm: bool) -> list[SimpleNamespace]:
        assert self.awake == {"weights", "kv_cache"}
        self.calls.append("generate")
        found = []
        self.asked = settings
        for asked, params in zip(inputs, settings, strict=True):
            assert (params.n, params.top_k, params.logprobs, params.detokenize) == (1, -1, 0, bool(params.stop))
            assert 0 <= params.seed < 2**63
            ours = SamplingParams(params.temperature, params.top_p, 0, params.max_tokens, seed=(params.seed,))
            prompt = Prompt("p", tuple(asked["prompt_token_ids"]), 0)
            [[rollout]] = LockstepSampler(self.policy).sample([prompt], 1, ours)
            logprobs = [
                {token: SimpleNamespace(logprob=logprob)}
                for token, logprob in zip(rollout.response_ids, rollout.logprobs, strict=True)
            ]
            output = SimpleNamespace(
                token_ids=list(rollout.response_ids), finish_reason=rollout.finish, logprobs=logprobs
            )
            found.append(SimpleNamespace(outputs=[output]))
        return found


@pytest.fixture
def fake_vllm(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=FakeEngine, SamplingParams=SimpleNamespace))


@pytest.mark.parametrize("extra", [(), ("model.lora_rank=2",)])
def test_training_through_vllm_pushes_each_steps_weights(fake_vllm, tmp_path, extra):
    config, _ = resolve("grpo", "tiny", [*SETTINGS, *extra, "data.only=[pool-000]", "batch.groups_per_step=2"])
    run = Run(tmp_path / "run")
    with run.locked():
        train(prepare(config, run, chosen_problems(config)))
    engine = FakeEngine.made
    assert engine.calls == ["sleep", *["wake weights", "load", "reset", "wake kv_cache", "generate", "sleep"] * 3]
    assert engine.options["max_model_len"] == config.sampling.max_prompt_tokens + config.sampling.max_new_tokens
    assert engine.options["logprobs_mode"] == "processed_logprobs"
    for row in run.metrics():  # the engine sampled from the weights that were then trained
        assert row["policy/sampler_gap"] < 1e-4
    lengths = {row["response/length_mean"] for row in run.metrics()}
    assert len(lengths) > 1


def test_rollouts_are_the_samplers_and_requests_have_their_own_seeds(fake_vllm):
    policy = load_policy(resolve("grpo", "tiny")[0].model)
    sampler = VllmSampler(policy, str(policy.model.config._name_or_path), 192, 0.5)
    prompts = [Prompt("a", (20, 21, 22), 0), Prompt("b", (30, 31), 1)]
    groups = sampler.sample(prompts, 3, SamplingParams(1.5, max_new_tokens=12, seed=(1, 2)))
    assert [len(group) for group in groups] == [3, 3]
    assert [group[0].prompt_ids for group in groups] == [(20, 21, 22), (30, 31)]
    assert len({rollout.response_ids for group in groups for rollout in group}) > 1
    assert groups == sampler.sample(prompts, 3, SamplingParams(1.5, max_new_tokens=12, seed=(1, 2)))


def test_a_run_that_vllm_sampled_is_evaluated_by_vllm(fake_vllm, tmp_path):
    """One engine for the validations, one for all checkpoints; the lockstep sampler used to evaluate."""
    (tmp_path / "few.jsonl").write_text(to_jsonl(find_problems("organism:validation")[:8]))
    few = f"run.validation={tmp_path / 'few.jsonl'}"
    settings = [*SETTINGS, few, "run.validate_every=3", "run.validation_samples=1"]
    config, sources = resolve("grpo", "tiny", [*settings, "data.only=[pool-000]", "batch.groups_per_step=2"])
    run = Run(tmp_path / "run")
    start(run, config, sources, chosen_problems(config))
    training = FakeEngine.made
    assert training.calls.count("generate") == 3 + 1
    protocol = replace(get_protocol("honest"), sampling=Sampling(2, greedy=True), base_templates=())
    evaluate_target(str(run.path), protocol, Options(["organism:numbers"], limit=4, workers=1))
    assert FakeEngine.made is not training
    assert FakeEngine.made.calls.count("generate") == 2 * 2  # base and checkpoint, samples and greedy
    assert FakeEngine.made.calls.count("load") == 2 * 2


def test_stop_strings_go_to_the_engine(fake_vllm):
    policy = load_policy(resolve("grpo", "tiny")[0].model)
    sampler = VllmSampler(policy, str(policy.model.config._name_or_path), 192, 0.5)
    prompt = Prompt("a", tuple(policy.tokenizer("Question: What is 3 + 4 + 5?\nAnswer:")["input_ids"]), 0)
    params = SamplingParams(1.0, max_new_tokens=40, seed=(1, 2))
    free = sampler.sample([prompt], 4, params)[0]
    stop = free[0].text[5:9]
    stopped = sampler.sample([prompt], 4, replace(params, stop_strings=(stop,), stop_ids=(7,)))[0]
    asked = FakeEngine.made.asked[-1]
    assert (asked.stop, asked.detokenize) == ([stop], True)
    assert 7 in asked.stop_token_ids
    assert stopped[0].text == free[0].text[: free[0].text.index(stop)]


def test_without_vllm_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vllm", None)
    config, _ = resolve("grpo", "tiny", SETTINGS)
    with pytest.raises(OneshotError, match=r"vLLM is not installed.*oneshot-rlvr\[vllm\]"):
        prepare(config, Run(tmp_path), chosen_problems(config))
