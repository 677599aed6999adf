"""Shared-prefix scores and gradients equal the plain full forward pass."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config, Qwen2ForCausalLM

from oneshot_rlvr.policy import Policy, Scorer
from oneshot_rlvr.policy.logprobs import logit_scores, token_scores
from oneshot_rlvr.policy.model import enable_checkpointing
from oneshot_rlvr.policy.support import length_dependent_rope, shared_prefix_problem
from oneshot_rlvr.policy.trie import build_tries
from random_models import COMMON, random_policy

PROMPTS = [(5, 6, 7, 8, 9, 10), (11, 12, 13)]
RESPONSES = [(20, 21, 22, 23, 1), (30, 1), (40,), (50, 51, 52, 53, 54, 55, 1), (60, 61, 62)]
ROWS = [0, 0, 1, 1, 0]
TEMPERATURE = 0.7


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm().clamp_min(1e-300)).item()


def run(policy: Policy, prompts, rows, batches, responses=RESPONSES, as_tries=False) -> tuple[dict, dict, dict]:
    """Log-probabilities, entropies and gradients of a loss that uses both, over micro-batches."""
    policy.model.zero_grad(set_to_none=True)
    logprobs, entropies = {}, {}
    with Scorer(policy, prompts, TEMPERATURE) as scorer:
        for batch in batches:
            logprobs_BT, entropy_BT = scorer.score([rows[i] for i in batch], [responses[i] for i in batch], as_tries)
            weights_B = torch.tensor([i + 1.0 for i in batch], dtype=logprobs_BT.dtype)[:, None]
            (weights_B * logprobs_BT + 0.3 * entropy_BT**2).sum().backward()
            for row, i in enumerate(batch):
                logprobs[i] = logprobs_BT[row, : len(responses[i])].detach()
                entropies[i] = entropy_BT[row, : len(responses[i])].detach()
        scorer.backward()
    grads = {name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None}
    return logprobs, entropies, grads


@pytest.mark.parametrize("architecture", ["qwen2", "llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_shared_prefix_equals_plain_forward(architecture, checkpointing, dtype, tolerance):
    policy = random_policy(architecture, dtype)
    assert policy.shared_prefix, policy.why_plain
    plain = dataclasses.replace(policy, shared_prefix=False)
    policy.model.set_attn_implementation("sdpa")
    expected = run(plain, PROMPTS, ROWS, [[0, 1, 2, 3, 4]])
    policy.model.set_attn_implementation("oneshot_shared_prefix")
    if checkpointing:
        enable_checkpointing(policy.model)
    found = run(policy, PROMPTS, ROWS, [[0, 2], [1, 3, 4]])
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert relative(ours[key], theirs[key]) < tolerance, key


def test_one_prompt_needs_no_padding_and_agrees_too():
    policy = random_policy("qwen2", torch.float64)
    found = run(policy, PROMPTS[:1], [0] * 5, [[0, 1], [2, 3, 4]])
    policy.model.set_attn_implementation("sdpa")
    expected = run(dataclasses.replace(policy, shared_prefix=False), PROMPTS[:1], [0] * 5, [[0, 1, 2, 3, 4]])
    for ours, theirs in zip(found, expected, strict=True):
        for key in theirs:
            assert relative(ours[key], theirs[key]) < 1e-10, key


ALIKE = [(20, 21, 22, 1), (20, 21, 23, 1), (20, 21, 22, 1), (30, 1), (1,), (20, 21, 22, 24, 1), (20, 21), (20, 25)]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("rows", [[0, 0, 0, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 1, 0, 1]])
def test_tries_of_responses_give_the_same_scores_and_gradients(rows, checkpointing):
    policy = random_policy("qwen2", torch.float64)
    expected = run(policy, PROMPTS, rows, [range(8)], ALIKE)
    if checkpointing:
        enable_checkpointing(policy.model)
    for batches in ([range(8)], [[0, 5, 6], [1, 2], [3, 4, 7]], [[4], [3], [0, 1, 2, 5, 6, 7]]):
        found = run(policy, PROMPTS, rows, batches, ALIKE, as_tries=True)
        for ours, theirs in zip(found, expected, strict=True):
            for key in theirs:
                assert relative(ours[key], theirs[key]) < 1e-10, key


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 2), min_size=1, max_size=6)), min_size=1))
def test_a_trie_holds_each_history_once(drawn):
    rows, responses = [row for row, _ in drawn], [tuple(ids) for _, ids in drawn]
    tries = build_tries(rows, responses)
    histories = {(row, ids[:end]) for row, ids in zip(rows, responses, strict=True) for end in range(1, len(ids) + 1)}
    assert len(tries.targets_M) == len(histories)
    for ids, nodes in zip(responses, tries.nodes_B, strict=True):
        assert tuple(tries.targets_M[nodes]) == ids
        for depth, node in enumerate(nodes[1:]):  # its parent is read, and attends to what precedes it alone
            row, place = divmod(int(tries.parents_M[node]), tries.ids_WN.shape[1])
            seen = np.flatnonzero(tries.ancestors_WNN[row, place])
            assert tuple(tries.ids_WN[row, seen]) == ids[: depth + 1]
            assert tries.depth_WN[row, place] == depth


def test_logprobs_are_those_of_cross_entropy():
    policy = random_policy("llama", torch.float64)
    ids = torch.tensor([[*PROMPTS[0], *RESPONSES[0]]])
    policy.model.set_attn_implementation("sdpa")
    logits = policy.model(input_ids=ids).logits[0, len(PROMPTS[0]) - 1 : -1] / TEMPERATURE
    expected = -cross_entropy(logits, torch.tensor(RESPONSES[0]), reduction="none")
    policy.model.set_attn_implementation("oneshot_shared_prefix")
    with torch.no_grad(), Scorer(policy, PROMPTS, TEMPERATURE) as scorer:
        logprobs_BT, entropy_BT = scorer.score([0], RESPONSES[:1])
    torch.testing.assert_close(logprobs_BT[0], expected)
    torch.testing.assert_close(entropy_BT[0], torch.distributions.Categorical(logits=logits).entropy())


@pytest.mark.parametrize("architecture", ["gemma2", "mistral"])
def test_other_attention_takes_the_plain_path_and_says_why(architecture):
    policy = random_policy(architecture)
    assert not policy.shared_prefix
    assert policy.why_plain
    logprobs, _, grads = run(policy, PROMPTS, ROWS, [[0, 1, 2], [3, 4]])
    whole = run(policy, PROMPTS, ROWS, [[0, 1, 2, 3, 4]])
    assert all(relative(grads[name], whole[2][name]) < 1e-4 for name in grads)
    assert all(torch.isfinite(logprobs[i]).all() for i in logprobs)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
        {
            "rope_type": "longrope",
            "short_factor": [1.0] * 4,
            "long_factor": [2.0] * 4,
            "original_max_position_embeddings": 8,
            "factor": 4.0,
            "rope_theta": 10000.0,
        },
    ],
)
def test_positions_that_change_with_length_take_the_plain_path(rope):
    """A short probe sees nothing of it: the keys of a prompt by itself are not its keys in a longer text."""
    config = Qwen2Config(**COMMON, intermediate_size=48, num_key_value_heads=2, eos_token_id=1)
    config.max_position_embeddings = 8 if rope["rope_type"] == "dynamic" else 64
    config.rope_parameters = rope
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).eval()
    problem = shared_prefix_problem(model)
    assert problem is not None
    assert rope["rope_type"] in problem
    assert model.config._attn_implementation != "oneshot_shared_prefix"
    assert length_dependent_rope(SimpleNamespace(rope_scaling={"type": "su"})) == "su"
    assert length_dependent_rope(SimpleNamespace(rope_parameters={"full_attention": rope})) == rope["rope_type"]
    assert length_dependent_rope(SimpleNamespace(rope_parameters={"rope_type": "default"})) is None


def test_chunks_of_the_vocabulary_change_nothing():
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 500, dtype=torch.float64)
    targets = torch.randint(0, 500, (37,))
    results = []
    for budget in (1 << 24, 500 * 5):
        hidden = torch.randn(
            37, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True
        )
        head.zero_grad()
        logprobs, entropy = token_scores(head, hidden, targets, 0.6, budget)
        (logprobs.sum() + entropy.pow(2).sum()).backward()
        results.append((logprobs, entropy, hidden.grad, head.weight.grad.clone()))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("budget", [1 << 24, 20 * 5])
def test_scores_have_the_gradients_of_autograd(budget):
    torch.manual_seed(0)
    head, targets = torch.nn.Linear(6, 20, dtype=torch.float64), torch.randint(0, 20, (11,))
    hidden = torch.randn(11, 6, dtype=torch.float64, requires_grad=True)

    def scores(hidden, weight, bias):
        return torch.func.functional_call(
            Head(head), {"head.weight": weight, "head.bias": bias}, (hidden, targets, budget)
        )

    assert torch.autograd.gradcheck(scores, (hidden, head.weight, head.bias))
    found, expected = token_scores(head, hidden, targets, 0.7, budget), logit_scores(head(hidden), targets, 0.7)
    torch.testing.assert_close(found, expected)


class Head(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, hidden, targets, budget):
        return token_scores(self.head, hidden, targets, 0.7, budget)


def test_scores_under_autocast_are_close():
    torch.manual_seed(0)
    head, targets = torch.nn.Linear(32, 300), torch.randint(0, 300, (40,))
    hidden = torch.randn(40, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        logprobs, entropy = token_scores(head, hidden, targets, 1.0, 300 * 7)
    (logprobs.sum() + entropy.sum()).backward()
    assert logprobs.dtype == torch.float32
    exact = token_scores(head, hidden, targets, 1.0)
    torch.testing.assert_close((logprobs, entropy), exact, rtol=2e-2, atol=2e-2)
    grad, hidden.grad = hidden.grad, None
    (exact[0].sum() + exact[1].sum()).backward()
    assert relative(grad, hidden.grad) < 2e-2


def test_entropy_by_hand():
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)]])
    logprobs, entropy = logit_scores(logits, torch.tensor([0, 1]), 1.0)
    torch.testing.assert_close(logprobs, torch.tensor([math.log(0.5), math.log(0.75)]))
    torch.testing.assert_close(entropy, torch.tensor([math.log(2), -0.25 * math.log(0.25) - 0.75 * math.log(0.75)]))
