"""An update's peak memory: of a micro-batch, whatever the number of rollouts and the size of the vocabulary."""

from __future__ import annotations

import ctypes
import dataclasses
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from children import CONTEXT
from oneshot_rlvr.algorithms import Algorithm, Experience
from oneshot_rlvr.config import resolve
from oneshot_rlvr.memory import give_back
from oneshot_rlvr.policy.model import Policy
from oneshot_rlvr.policy.support import shared_prefix_problem
from oneshot_rlvr.training.models import Models, policy_learner
from oneshot_rlvr.training.update import update

M_MMAP_THRESHOLD = -3  # of glibc's mallopt


def status(name: str) -> float:
    """MiB, of this process (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def measure(vocabulary: int, length: int, rollouts: list[int], chunk: bool) -> list[float]:
    """MiB of an update, by the number of rollouts; for a process whose high-water mark nothing else has raised."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 16)  # a freed tensor's pages go back at once
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 4096}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=vocabulary, **heads, **sizes))
    policy = Policy(model, None, (1,), shared_prefix_problem(model) is None, None, None, None)
    config = resolve("grpo", "organism", ["algorithm.kl_coefficient=0", f"speed.chunk_logits={chunk}"])[0]
    config = config.model_copy(update={"batch": config.batch.model_copy(update={"microbatch_tokens": 2048})})
    models = Models(policy, {"policy": policy_learner(policy, config)})
    algorithm = Algorithm.of(config.algorithm, length)

    def peak(count: int) -> float:
        responses = [tuple(torch.randint(2, vocabulary, (length,)).tolist()) for _ in range(count)]
        advantages = [a.expand(length) for a in torch.randn(count)]
        seen = Experience(((5, 6, 7),), (0,) * count, (0,) * count, tuple(responses), torch.zeros(count), None)
        seen = dataclasses.replace(seen, advantages=advantages)
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        update(models, seen, algorithm, config)
        return status("VmHWM") - before

    peak(1)  # the optimizer's state, and what libraries load on first use
    return [peak(count) for count in rollouts]


def peaks(*asked: tuple[int, int, list[int], bool]) -> list[list[float]]:
    """What `measure` says of each, in one new process."""
    with ProcessPoolExecutor(1, CONTEXT) as new:
        return [new.submit(measure, *one).result(300) for one in asked]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_rollouts_beyond_a_microbatch_take_no_more_memory():
    [[four, many]] = peaks((2000, 512, [4, 64], True))  # one micro-batch, and sixteen
    assert many < 1.1 * four


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_tensor_of_length_times_vocabulary():
    """The measure sees what it should: the logits, where they are not chunked, of a vocabulary that is large enough."""
    small, large = 32_000, 152_000
    [[chunked], [whole]] = peaks((large, 256, [4], True), (small, 256, [4], False))
    assert chunked < 0.5 * logits(large)
    assert whole > logits(small)


def logits(vocabulary: int) -> float:
    """MiB of one micro-batch's."""
    return 1024 * vocabulary * 4 / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_freed_goes_back():
    """100 MiB in small blocks of which every hundredth stays: glibc gives back none of the others by itself."""
    blocks = [bytes(4000) for _ in range(25_000)]
    held = status("VmRSS")
    kept = blocks[::100]
    del blocks
    give_back()
    assert status("VmRSS") < held - 50
    assert len(kept) == 250
