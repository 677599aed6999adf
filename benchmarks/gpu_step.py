"""Decoding and training of large shapes with random weights, beside what the device can do at most.

    python benchmarks/gpu_step.py --json results/gpu_step.json                 # Qwen2.5 1.5B and 7B, one GPU of 80 GB
    python benchmarks/gpu_step.py --small --json results/gpu_step_small.json   # a small shape, anywhere

Not run on a GPU yet. Decoding: a prompt of 128 tokens, rollouts that never end; tokens a second beside the limit, in
which each token takes the longer of its operations over the matrix rate and its bytes (weights once for all, keys and
values of each) over the memory's rate, both measured here. Training: model-FLOPs utilisation, which counts three
forward passes and not what gradient checkpointing computes again. `whole_step` is one step of 1024 rollouts of 3072
tokens, sampled in waves. 7B trains low-rank adapters.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen2Config

from learning import Learning, experience_of
from oneshot_rlvr.commands.planner import KNOWN
from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.policy import Policy, load_policy
from oneshot_rlvr.policy.lora import add_adapters
from oneshot_rlvr.rollout import LockstepSampler, Prompt, SamplingParams
from oneshot_rlvr.rollout.lockstep import cache_bytes_per_token
from outcome import write
from shapes import forward_operations, matrix_rate, peak_memory, qwen2, small, write_model

PROMPT = tuple(range(300, 428))


@dataclass(frozen=True)
class Work:
    """What is run of a shape: decoding with each of `rows` for `tokens`, training on `batch` rollouts of `length`."""

    rows: tuple[int, ...]
    tokens: int
    batch: int
    length: int
    lora_rank: int = 0
    whole: tuple[int, int] | None = None  # rollouts and tokens of a whole step


SHAPES = {
    "1.5b": (qwen2(**KNOWN["Qwen/Qwen2.5-Math-1.5B"]), Work((128, 1024), 512, 64, 1024, whole=(1024, 3072))),
    "7b": (qwen2(**KNOWN["Qwen/Qwen2.5-Math-7B"]), Work((128, 512), 512, 32, 1024, lora_rank=32)),
}
SMALL = {
    "small": (small(256, 768), Work((16, 64), 64, 16, 64, whole=(64, 96))),
    "small, adapters": (small(256, 768), Work((16,), 32, 16, 64, lora_rank=8)),
}


def memory_rate(device: str) -> float:
    """Bytes a second read: the sum of 4 GiB on a GPU, 256 MiB on a CPU, the fastest of ten."""
    values = torch.ones(1 << (30 if device == "cuda" else 26), device=device)
    return values.numel() * values.element_size() / min(seconds(values.sum) for _ in range(10))


def seconds(work: Any) -> float:
    """How long it takes, with all that it starts on a GPU."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def decode_limit(policy: Policy, rows: int, tokens: int, operations: float, memory: float) -> float:
    """Seconds that decoding takes at least."""
    weights = sum(p.nbytes for name, p in policy.model.named_parameters() if "embed_tokens" not in name)
    cached, total = cache_bytes_per_token(policy.model), 0.0
    linear = forward_operations(policy.model.config, len(PROMPT), [1] * rows)
    for place in range(tokens):
        read = weights + cached * (len(PROMPT) + rows * place)  # the prompt's keys and values once for all
        total += max(linear / operations, read / memory)
    return total


def decoding(policy: Policy, work: Work, config: Config, operations: float, memory: float) -> list[dict[str, float]]:
    """Tokens a second of the sampler, with the limit."""
    found = []
    for rows in work.rows:
        sampler = LockstepSampler(policy, config.sampling.kv_cache_gib)
        params = SamplingParams(temperature=1.0, max_new_tokens=work.tokens)
        sampler.sample([Prompt("warm", PROMPT, 0)], rows, SamplingParams(max_new_tokens=8))
        took: list[float] = []
        peak = peak_memory(lambda: took.append(seconds(lambda: sampler.sample([Prompt("p", PROMPT, 0)], rows, params))))  # noqa: B023
        limit = decode_limit(policy, rows, work.tokens, operations, memory)
        found.append(
            {
                "rollouts": rows,
                "tokens_per_second": rows * work.tokens / took[0],
                "limit_tokens_per_second": rows * work.tokens / limit,
                "of_limit": limit / took[0],
                "peak_mib": peak,
            }
        )
    return found


def training(learning: Learning, count: int, length: int, operations: float) -> dict[str, float]:
    """Utilisation and memory of an update on random responses."""
    random = np.random.default_rng(0)
    responses = [tuple(random.integers(300, 4000, length).tolist()) for _ in range(count)]
    seen = experience_of([PROMPT], [0] * count, responses, torch.randn(count))
    learning.update(seen)
    took: list[float] = []
    peak = peak_memory(lambda: took.append(seconds(lambda: learning.update(seen))))
    model_operations = 3 * forward_operations(learning.models.policy.model.config, len(PROMPT), [length] * count)
    return {
        "rollouts": count,
        "length": length,
        "seconds": took[0],
        "utilisation": model_operations / operations / took[0],
        "peak_mib": peak,
    }


def whole_step(learning: Learning, rows: int, tokens: int) -> dict[str, float | None]:
    """Sampling in waves, then the update on what was sampled."""
    sampler = LockstepSampler(learning.models.policy, learning.config.sampling.kv_cache_gib)
    params, sampled = SamplingParams(temperature=1.0, max_new_tokens=tokens), []
    sample_s = seconds(lambda: sampled.extend(sampler.sample([Prompt("p", PROMPT, 0)], rows, params)))
    responses = [rollout.response_ids for group in sampled for rollout in group]
    seen = experience_of([PROMPT], [0] * rows, responses, torch.randn(rows))
    update_s = seconds(lambda: learning.update(seen))
    allocated = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    return {"rollouts": rows, "tokens": tokens, "sample_s": sample_s, "update_s": update_s, "peak_mib": allocated}


def measure(name: str, shape: Qwen2Config, work: Work, device: str, rates: tuple[float, float]) -> dict[str, Any]:
    """All figures of a shape."""
    with tempfile.TemporaryDirectory() as scratch:
        torch.set_default_dtype(torch.bfloat16)  # 7 billion float32 weights would take 30 GB on the way
        write_model(Path(scratch), shape, 0.0)
        torch.set_default_dtype(torch.float32)
        settings = [
            "model.dtype=bfloat16",
            "model.gradient_checkpointing=true",
            f"model.device={device}",
            f"model.lora_rank={work.lora_rank}",
            "sampling.kv_cache_gib=24",
            "algorithm.kl_coefficient=0",
            f"batch.groups_per_step={work.batch}",
            "batch.group_size=1",
        ]
        if device == "cpu":
            settings += ["sampling.kv_cache_gib=0.02", "model.threads=1"]  # waves
        config, _ = resolve("grpo", scratch, settings)
        policy = load_policy(config.model)
    result: dict[str, Any] = {"parameters": sum(p.numel() for p in policy.model.parameters())}
    result["decode"] = decoding(policy, work, config, *rates)
    print(name, json.dumps(result), flush=True)
    if work.lora_rank:
        add_adapters(policy.model, config.model, 0)
    learning = Learning(policy, config)
    result["train"] = training(learning, work.batch, work.length, rates[0])
    print(name, json.dumps(result["train"]), flush=True)
    if work.whole:
        result["whole_step"] = whole_step(learning, *work.whole)
        print(name, json.dumps(result["whole_step"]), flush=True)
    return result


def main() -> None:
    """Run, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--small", action="store_true", help="a small shape, on whatever there is")
    parser.add_argument("--shapes", nargs="*", choices=list(SHAPES), default=list(SHAPES))
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.small:
        parser.error("no GPU here; --small runs a small shape on the CPU")
    torch.set_num_threads(1)
    rates = matrix_rate(dtype=torch.bfloat16, device=device), memory_rate(device)
    shapes = SMALL if options.small else {name: SHAPES[name] for name in options.shapes}
    result = {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "cpu",
        "matrix_rate_tflops": rates[0] / 1e12,
        "memory_rate_gb_s": rates[1] / 1e9,
        "shapes": {name: measure(name, *of, device, rates) for name, of in shapes.items()},
    }
    write(result, options.json)


if __name__ == "__main__":
    main()
