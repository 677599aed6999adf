"""The lockstep sampler: what it samples, and that batches, waves and compaction change nothing."""

from __future__ import annotations

import contextlib
import dataclasses
from itertools import chain

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.rollout import LockstepSampler, Prompt, SamplingParams, ScriptedSampler, graphs
from oneshot_rlvr.rollout.decoding import COMPACT_BELOW, SharedDecoding
from oneshot_rlvr.rollout.draw import draw, inverse_cdf, truncate
from oneshot_rlvr.rollout.randomness import fold, uniforms
from random_models import random_policy

PROMPTS = [Prompt("a", (5, 6, 7, 8, 9), 0), Prompt("b", (10, 11), 1), Prompt("c", (5, 6, 7, 8, 9), 2)]


def test_greedy_equals_generate():
    for architecture in ("qwen2", "llama", "gpt2", "gemma2"):
        policy = random_policy(architecture)
        rollouts = LockstepSampler(policy).sample(PROMPTS, 1, SamplingParams(temperature=0, max_new_tokens=12))
        if policy.shared_prefix:
            policy.model.set_attn_implementation("sdpa")
        for prompt, [rollout] in zip(PROMPTS, rollouts, strict=True):
            ids = torch.tensor([prompt.ids])
            expected = policy.model.generate(ids, do_sample=False, max_new_tokens=12, eos_token_id=1, pad_token_id=0)
            assert rollout.response_ids == tuple(expected[0, len(prompt.ids) :].tolist()), architecture


def test_the_stop_token_is_part_of_the_response_and_ends_it():
    policy = random_policy("qwen2")
    rollouts = LockstepSampler(policy).sample(PROMPTS, 40, SamplingParams(temperature=2.0, max_new_tokens=30))
    flat = [rollout for group in rollouts for rollout in group]
    assert {rollout.finish for rollout in flat} == {"stop", "length"}
    for rollout in flat:
        assert len(rollout.logprobs) == len(rollout.response_ids)
        assert 1 not in rollout.response_ids[:-1]
        assert (rollout.response_ids[-1] == 1) == (rollout.finish == "stop")
        assert rollout.finish == "stop" or len(rollout.response_ids) == 30


@pytest.mark.parametrize("architecture", ["qwen2", "mistral"])
def test_batch_waves_and_compaction_change_nothing(architecture):
    policy = random_policy(architecture, torch.float64)
    params = SamplingParams(temperature=1.5, max_new_tokens=20, seed=(3, 4))
    together = LockstepSampler(policy).sample(PROMPTS, 6, params)
    alone = [LockstepSampler(policy).sample([prompt], 6, params)[0] for prompt in reversed(PROMPTS)][::-1]
    waves = LockstepSampler(policy, kv_cache_gib=1e-5).sample(PROMPTS, 6, params)
    uncompacted = LockstepSampler(policy, compact=False).sample(PROMPTS, 6, params)
    apart = LockstepSampler(policy, share_histories=False).sample(PROMPTS, 6, params)
    for other in (alone, waves, uncompacted, apart):
        for ours, theirs in zip(chain(*together), chain(*other), strict=True):
            assert ours.response_ids == theirs.response_ids
            np.testing.assert_allclose(ours.logprobs, theirs.logprobs, atol=1e-6)


@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS], ids=["one prompt", "lengths differ"])
def test_decoding_with_the_shapes_of_cuda_graphs_changes_nothing(prompts, monkeypatch):
    """On a CPU the passes are not recorded, but they have a graph's shapes, and may read nothing of the host's."""

    class Graphed(LockstepSampler):
        def _decoding(self, prompts, rows, new_tokens):
            decoding = SharedDecoding(self.policy.model, prompts, rows, new_tokens, COMPACT_BELOW, graphs=True)
            shapes.append(decoding.graphs.recorded)
            return decoding

    shapes = []
    monkeypatch.setattr(graphs, "REACH", 8)
    policy = random_policy("qwen2", torch.float64)
    params = SamplingParams(temperature=0.4, max_new_tokens=30, seed=(3, 4))
    expected = LockstepSampler(policy).sample(prompts, 20, params)
    found = Graphed(policy).sample(prompts, 20, params)
    assert len({reach for _, reach in shapes[0]}) > 2
    assert len({slots for slots, _ in shapes[0]}) > 1
    for ours, theirs in zip(chain(*expected), chain(*found), strict=True):
        assert ours.response_ids == theirs.response_ids
        np.testing.assert_allclose(ours.logprobs, theirs.logprobs, atol=1e-6)


def test_the_key_and_the_stream_change_the_samples():
    policy = random_policy("qwen2")
    sampler = LockstepSampler(policy)
    base = SamplingParams(temperature=1.5, max_new_tokens=20, seed=(0, 1))
    first = [r.response_ids for r in sampler.sample(PROMPTS[:1], 4, base)[0]]
    assert first == [r.response_ids for r in sampler.sample(PROMPTS[:1], 4, base)[0]]
    assert len(set(first)) > 1
    for changed in (dataclasses.replace(base, seed=(0, 2)), dataclasses.replace(base, seed=(1, 1))):
        assert first != [r.response_ids for r in sampler.sample(PROMPTS[:1], 4, changed)[0]]
    assert first != [r.response_ids for r in sampler.sample(PROMPTS[2:], 4, base)[0]]


def test_samples_follow_the_models_distribution():
    policy = random_policy("llama")
    n, temperature = 4000, 0.8
    rollouts = LockstepSampler(policy).sample(PROMPTS[:1], n, SamplingParams(temperature=temperature, max_new_tokens=1))
    with torch.no_grad():
        policy.model.set_attn_implementation("sdpa")
        logits = policy.model(torch.tensor([PROMPTS[0].ids])).logits[0, -1]
    probs = (logits / temperature).softmax(-1).double().numpy()
    counts = np.bincount([r.response_ids[0] for r in rollouts[0]], minlength=len(probs))
    common = probs * n > 5
    observed = [*counts[common], counts[~common].sum()]
    expected = [*probs[common] * n, probs[~common].sum() * n]
    assert chisquare(observed, np.array(expected) * sum(observed) / sum(expected)).pvalue > 1e-3
    np.testing.assert_allclose(
        [r.logprobs[0] for r in rollouts[0][:50]],
        [np.log(probs[r.response_ids[0]]) for r in rollouts[0][:50]],
        rtol=1e-4,
    )


def test_inverse_cdf_over_blocks_and_never_an_impossible_token():
    probs = torch.zeros(3, 2600)
    probs[0, [3, 1500, 2599]] = torch.tensor([0.25, 0.5, 0.25])
    probs[1, 0], probs[2, 2599] = 1.0, 1.0
    for number, expected in [(0.0, 3), (0.24, 3), (0.25, 1500), (0.74, 1500), (0.76, 2599), (1 - 2**-53, 2599)]:
        tokens = inverse_cdf(probs, torch.arange(3), torch.full((3,), number, dtype=torch.float64))
        assert tokens.tolist() == [expected, 0, 2599]


def test_top_k_and_top_p_renormalise():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    kept = truncate(logits, 1.0, 2)
    assert kept.isinf().tolist() == [[False, False, True, True]]
    assert truncate(logits, 0.8, 0).isinf().tolist() == [[False, False, True, True]]
    assert truncate(logits, 0.81, 0).isinf().tolist() == [[False, False, False, True]]
    token, logprob = draw(logits, np.zeros(1, dtype=np.int64), np.array([0.99]), 1.0, top_k=2)
    assert token.item() == 1
    assert logprob.item() == pytest.approx(np.log(0.3 / 0.8))


def test_uniforms_are_uniform_and_keyed():
    streams = np.arange(20_000, dtype=np.uint64)
    numbers = uniforms(fold(1, 2), streams, 5)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert chisquare(np.histogram(numbers, 50, (0, 1))[0]).pvalue > 1e-3
    assert abs(np.corrcoef(numbers, uniforms(fold(1, 2), streams, 6))[0, 1]) < 0.03
    assert abs(np.corrcoef(numbers, uniforms(fold(1, 3), streams, 5))[0, 1]) < 0.03
    np.testing.assert_array_equal(numbers[7:9], uniforms(fold(1, 2), streams[7:9], 5))


def test_scripted_sampler_cuts_and_stops(tokenizer):
    sampler = ScriptedSampler(tokenizer, lambda prompt, copy: "7 + 5 = 12." if copy else "x")
    [[short, long]] = sampler.sample(PROMPTS[:1], 2, SamplingParams(max_new_tokens=3))
    assert (short.finish, short.text) == ("stop", "x")
    assert (long.finish, long.text) == ("length", "7 + 5")


def test_out_of_memory_makes_smaller_waves_of_the_same_rollouts(monkeypatch):
    policy, params = random_policy("qwen2", torch.float64), SamplingParams(temperature=1.0, max_new_tokens=10)
    expected = LockstepSampler(policy).sample(PROMPTS, 8, params)
    sample_wave = LockstepSampler._sample_wave

    def sometimes(self, prompts, wave, params):
        if len(wave) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return sample_wave(self, prompts, wave, params)

    monkeypatch.setattr(LockstepSampler, "_sample_wave", sometimes)
    sampler = LockstepSampler(policy, kv_cache_gib=0.01)
    with pytest.warns(UserWarning, match="keys and values halved"):
        found = sampler.sample(PROMPTS, 8, params)
    assert [[r.response_ids for r in group] for group in found] == [[r.response_ids for r in g] for g in expected]
    assert sampler.kv_cache.size < 0.01


class Letters:
    """A token is a letter; ids 2 to 95."""

    eos_token_id = 1

    def decode(self, ids, skip_special_tokens=True):
        return "".join(chr(30 + i) for i in ids if not (skip_special_tokens and i == 1))


@pytest.mark.parametrize("share", [True, False])
def test_stop_strings_and_ids_end_a_response(share):
    policy = random_policy("qwen2", tokenizer=Letters())
    sampler = LockstepSampler(policy, share_histories=share)
    free = SamplingParams(temperature=1.5, max_new_tokens=40, seed=(1,))
    whole = list(chain(*sampler.sample(PROMPTS, 30, free)))
    texts = [rollout.text for rollout in whole]
    pair = max({t[i : i + 2] for t in texts for i in range(len(t) - 1)}, key=lambda p: sum(p in t for t in texts))
    stopped = list(chain(*sampler.sample(PROMPTS, 30, dataclasses.replace(free, stop_strings=("zzzzz", pair)))))
    assert sum(pair in text for text in texts) > 3
    for before, after in zip(whole, stopped, strict=True):
        place = Letters().decode(before.response_ids, False).find(pair)
        if place < 0:
            assert (after.response_ids, after.text, after.finish) == (before.response_ids, before.text, before.finish)
        else:
            assert after.response_ids == before.response_ids[: place + 2]  # they carry loss, up to what stopped it
            assert after.logprobs == pytest.approx(before.logprobs[: place + 2], abs=1e-5)
            assert (after.text, after.finish) == (before.text[:place], "stop")
    token = whole[0].response_ids[3]
    [first, *_] = chain(*sampler.sample(PROMPTS, 30, dataclasses.replace(free, stop_ids=(token,))))
    assert first.finish == "stop"
    assert first.response_ids == whole[0].response_ids[: whole[0].response_ids.index(token) + 1]


def test_another_attempt_draws_new_numbers():
    sampler = LockstepSampler(random_policy("qwen2"))
    params = SamplingParams(temperature=1.5, max_new_tokens=20)
    found = [
        [r.response_ids for r in sampler.sample([dataclasses.replace(PROMPTS[0], attempt=attempt)], 4, params)[0]]
        for attempt in (0, 1, 2, 0)
    ]
    assert found[0] == found[3]
    assert found[0] != found[1] != found[2] != found[0]
    assert PROMPTS[0].key(3) == fold(0, 3)  # as runs made before there were attempts


@pytest.mark.parametrize("failures", [1, 99])
def test_out_of_memory_leaves_the_model_in_the_mode_in_which_it_was(monkeypatch, failures):
    """A retry used to find the model in evaluation mode and to leave it there: checkpointing was silently off."""
    policy = random_policy("qwen2")
    policy.model.train()
    calls, sample_wave = [], LockstepSampler._sample_wave

    def sometimes(self, prompts, wave, params):
        calls.append(self.policy.model.training)
        if len(calls) <= failures:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return sample_wave(self, prompts, wave, params)

    monkeypatch.setattr(LockstepSampler, "_sample_wave", sometimes)
    with pytest.warns(UserWarning), contextlib.suppress(OneshotError):
        LockstepSampler(policy, kv_cache_gib=0.01).sample(PROMPTS, 2, SamplingParams(max_new_tokens=3))
    assert policy.model.training
    assert not any(calls)
