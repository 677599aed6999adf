"""What a run will take, before it starts: memory, seconds a step, samples; and afterwards, what it did take.

On a GPU, counts of operations and bytes over what the device can do at best, times the fraction of it that this project
expects to reach: assumptions until `benchmarks/gpu_step.py` has been run on the device. On a CPU, layers of the model's
sizes are timed on the spot, and what is beside the layers is as three models took it on two cores.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from oneshot_rlvr.algorithms import Algorithm
from oneshot_rlvr.commands.cpu_rates import Sizes, decoding, learning
from oneshot_rlvr.config import Config, ModelSection
from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.policy.logprobs import LOGITS_BUDGET
from oneshot_rlvr.policy.model import checked_device, dtype_of, text_config
from oneshot_rlvr.runs import Run
from oneshot_rlvr.runs.environment import gpu_of
from oneshot_rlvr.training import COLLECTORS
from oneshot_rlvr.training.batching import microbatch_tokens

GIB = 2**30
# Seconds on a CPU beside the layers: of a decoded token (drawing it), of a micro-batch (packing it, the optimizer).
BESIDE_TOKEN, BESIDE_MICROBATCH = 0.0027, 0.02


@dataclass(frozen=True)
class Device:
    """Memory in GiB, dense matrix operations a second in the weights' dtype, bytes a second; and what is reached."""

    memory_gib: float
    operations: float
    bytes: float
    decode_share: float = 0.6
    train_share: float = 0.45


DEVICES = {  # bfloat16, dense, from NVIDIA's data sheets
    "h200": Device(141e9 / GIB, 989e12, 4.8e12),
    "h100": Device(80, 989e12, 3.35e12),
    "a100": Device(80, 312e12, 2.04e12),
    "a100-40gb": Device(40, 312e12, 1.56e12),
    "l40s": Device(48, 362e12, 0.864e12),
    "rtx4090": Device(24, 165e12, 1.008e12),
}
MEASURED = 512  # tokens of a micro-batch that is timed: a larger one takes as long a token, and memory
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")  # of a mixture: another count of weights
# Public architectures, so that a plan needs no network.
_QWEN = {"num_hidden_layers": 28, "head_dim": 128}
KNOWN: dict[str, dict[str, int]] = {
    "Qwen/Qwen2.5-Math-1.5B": _QWEN
    | {"hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12, "num_key_value_heads": 2}
    | {"vocab_size": 151936, "tie_word_embeddings": True},
    "Qwen/Qwen2.5-Math-7B": _QWEN
    | {"hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_key_value_heads": 4}
    | {"vocab_size": 152064, "tie_word_embeddings": False},
}


@dataclass(frozen=True)
class Shape(Sizes):
    """A decoder's sizes; `matrices` are the weights that a token is multiplied with, the output layer's among them."""

    layers: int
    tied: bool

    @property
    def matrices(self) -> int:
        """Weights in matrix products a token."""
        attention = self.hidden * self.head * (2 * self.heads + 2 * self.key_value_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate) + self.hidden * self.vocabulary

    @property
    def parameters(self) -> int:
        """All weights, but for norms and biases."""
        return self.matrices + (0 if self.tied else self.hidden * self.vocabulary)

    @property
    def cached_values(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.key_value_heads * self.head


def shape_of(model: ModelSection) -> Shape:
    """The sizes of a shipped model, a model folder, or a model of the hub.

    Raises:
        OneshotError: there is no readable configuration, or it does not say the sizes.
    """
    found = known_shape(model)
    if found is None:
        raise OneshotError(
            "this architecture does not say its sizes in the usual words", where=model.path, fix="It cannot be planned."
        )
    return found


def known_shape(model: ModelSection) -> Shape | None:
    """The sizes of a model, None where its configuration does not say them in the usual words.

    Raises:
        OneshotError: there is no readable configuration.
    """
    known = KNOWN.get(model.path)
    config: Any = text_config(model) if known is None else SimpleNamespace(**known)
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")  # GPT-2's stand under these too
    layers, hidden, heads, vocabulary = (getattr(config, name, None) or 0 for name in names)
    inner = [getattr(config, name, None) for name in ("intermediate_size", "num_key_value_heads", "head_dim")]
    whole = all(isinstance(size, int | None) for size in (layers, hidden, heads, vocabulary, *inner))  # or by layer
    if not whole or min(layers, hidden, heads, vocabulary) <= 0 or any(getattr(config, name, None) for name in EXPERTS):
        return None
    return Shape(
        layers=layers,
        hidden=hidden,
        intermediate=inner[0] or 4 * hidden,
        heads=heads,
        key_value_heads=inner[1] or heads,
        head=inner[2] or hidden // heads,
        vocabulary=vocabulary,
        tied=bool(getattr(config, "tie_word_embeddings", True)),
    )


def device_of(name: str) -> Device:
    """A GPU by name, or this machine's CPU, whose rates `seconds_on_cpu` measures.

    Raises:
        OneshotError: an unknown name.
    """
    if name == "cpu":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
        return Device(memory, 0.0, 0.0, decode_share=0.8, train_share=1.0)
    if name not in DEVICES:
        raise OneshotError(f"unknown device {name!r}", where="--gpu", fix=nearest(name, [*DEVICES, "cpu"]))
    return DEVICES[name]


def name_here(name: str) -> str | None:
    """What `device_of` calls the device that a configured name means on this machine, if its rates are known."""
    device = checked_device(name)
    return "cpu" if device == "cpu" else gpu_called(**gpu_of(device))


def gpu_called(name: str, gib: float) -> str | None:
    """What `device_of` calls a GPU of this name and memory, as `environment.json` has them; None if it knows none."""
    words = name.lower().replace(" ", "")
    alike = [key for key in DEVICES if key.partition("-")[0] in words]
    return min(alike, key=lambda key: abs(DEVICES[key].memory_gib - gib), default=None)


def device_here(name: str) -> Device | None:
    """The device that a configured name means on this machine, if its rates are known."""
    known = name_here(name)
    return None if known is None else device_of(known)


def memory(config: Config, shape: Shape, device: str) -> dict[str, float]:
    """GiB by what they are for, on a device; the larger of sampling and update counts, because they take turns."""
    short = config.model.dtype == "bfloat16"
    width, computed = (2 if short else 4), (2 if short or config.model.autocast else 4)
    weights = shape.parameters
    trained = weights
    if config.model.lora_rank:
        per_layer = 2 * shape.hidden + shape.head * (2 * shape.heads + 2 * shape.key_value_heads)
        trained = config.model.lora_rank * shape.layers * (per_layer + 4 * shape.hidden + 3 * shape.intermediate)
    critic = weights if "values" in others(config) else 0
    tokens = microbatch_tokens(config.batch.microbatch_tokens, device)
    inside = 10 * shape.hidden + 2 * shape.key_value_heads * shape.head + 3 * shape.intermediate  # kept for backward
    layers = 1 if config.model.gradient_checkpointing else shape.layers
    activations = tokens * computed * (layers * inside + shape.layers * shape.hidden)
    rollouts = config.batch.groups_per_step * config.batch.group_size
    longest_prompt = config.sampling.max_prompt_tokens
    cache = min(
        config.sampling.kv_cache_gib * GIB,
        rollouts * (config.sampling.max_new_tokens + longest_prompt) * shape.cached_values * width,
    )
    whole = 8 if shape.tied or config.model.autocast else 4  # beside the embeddings' gradient, or a product of its own
    head = 0 if config.model.lora_rank else (6 if short else whole) * shape.vocabulary * shape.hidden  # its gradient
    parts = {
        "weights": weights * width + (weights * 2 if config.model.autocast and not short else 0),
        "other models": weights * width * len(others(config) - ({"reference"} if config.model.lora_rank else set())),
        "gradients": (trained + critic) * 4,
        "optimizer": (trained + critic) * _optimizer_bytes(config, short),
        "sampling: keys and values": cache,
        "update: activations": activations,
        "update: prompts": activations / tokens * min(tokens, config.batch.groups_per_step * longest_prompt),
        "update: logits": 3 * 4 * LOGITS_BUDGET + head,
    }
    turns = ("sampling", "update")
    fixed = sum(size for name, size in parts.items() if not name.startswith(turns))
    largest = max(sum(size for name, size in parts.items() if name.startswith(turn)) for turn in turns)
    return {name: size / GIB for name, size in parts.items()} | {"peak": (fixed + largest) / GIB}


def _optimizer_bytes(config: Config, short: bool) -> int:
    """Of a trained weight: both moments, and what a bfloat16 weight lacks of its master (`policy/compact.py`)."""
    return 4 + 2 * short if config.optimizer.moments == "bfloat16" else 8 + 4 * short


def seconds(config: Config, shape: Shape, device: Device, length: float) -> dict[str, float]:
    """Seconds of a step whose responses have this mean length, and how many waves it is sampled in."""
    rollouts, longest = config.batch.groups_per_step * config.batch.group_size, config.sampling.max_new_tokens
    waves = -(-rollouts // _wave(config, shape, longest))
    sample = sampling_seconds(config, shape, device, [(rollouts, longest)], length) if sampled(config) else 0.0
    if device.operations:
        forward = _forward(config, shape, rollouts * length, length)
        passes = (4 if config.model.gradient_checkpointing else 3) * learners(config)
        update = (config.batch.epochs * passes + scorings(config)) * forward / device.operations
    else:
        update = _update_on_cpu(config, shape, rollouts * length)
    update = update / device.train_share
    return {"sample": sample, "update": update, "step": sample + update, "waves": waves}


def sampling_seconds(
    config: Config, shape: Shape, device: Device, calls: Sequence[tuple[int, int]], length: float | None = None
) -> float:
    """Seconds of calls of the sampler, (responses, their most tokens) each; at a mean length, or at most."""
    if device.operations:
        return sum(_sampling_on_gpu(config, shape, device, *call, length or call[1]) for call in calls)
    took: dict[int, float] = {}
    total = 0.0
    for rollouts, longest in calls:
        waves = -(-rollouts // _wave(config, shape, longest))
        mean = min(longest, length or longest)
        rows = max(1, round(rollouts / waves * mean / longest))  # on average: the short ones leave
        rows = min(2 ** round(math.log2(rows)), 1024)  # few sizes to measure
        if rows not in took:
            with _threads(config):
                took[rows] = (
                    decoding(shape, rows, max(1, round(mean / 2)), _computed(config)).of(shape.layers) + BESIDE_TOKEN
                )
        total += waves * longest * took[rows]
    return total / device.decode_share


def _sampling_on_gpu(config: Config, shape: Shape, device: Device, rollouts: int, longest: int, length: float) -> float:
    tokens, context = rollouts * length, config.sampling.max_prompt_tokens + length / 2
    waves = -(-rollouts // _wave(config, shape, longest))
    frozen = config.model.autocast and config.model.lora_rank  # autocast makes short copies of these at every token
    read = longest * waves * shape.matrices * (8 if frozen else _width(config))
    read += tokens * context * shape.cached_values * _width(config)
    operations = _forward(config, shape, tokens, length) / device.operations
    return max(operations, read / device.bytes) / device.decode_share


def _update_on_cpu(config: Config, shape: Shape, tokens: float) -> float:
    size = microbatch_tokens(config.batch.microbatch_tokens, "cpu")
    measured = min(size, MEASURED)
    with _threads(config):
        found = learning(shape, measured, _computed(config))
    score, train = (took.of(shape.layers) * size / measured for took in found)
    again = score if config.model.gradient_checkpointing else 0.0
    each = config.batch.epochs * learners(config) * (train + again + BESIDE_MICROBATCH) + scorings(config) * score
    return tokens / size * each


def _wave(config: Config, shape: Shape, longest: int) -> int:
    """Responses that are sampled together."""
    places = (longest + config.sampling.max_prompt_tokens) * shape.cached_values * _width(config)
    return max(1, int(config.sampling.kv_cache_gib * GIB / places))


def _width(config: Config) -> int:
    return 2 if config.model.dtype == "bfloat16" or config.model.autocast else 4


def _computed(config: Config) -> torch.dtype:
    return torch.bfloat16 if _width(config) == 2 else torch.float32


def _forward(config: Config, shape: Shape, tokens: float, length: float) -> float:
    """Operations of a forward pass over responses of a mean length."""
    context = config.sampling.max_prompt_tokens + length / 2
    return tokens * (2 * shape.matrices + shape.layers * shape.heads * shape.head * 4 * context)


@contextmanager
def _threads(config: Config) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(config.model.threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def learners(config: Config) -> int:
    """Models that are trained: the policy, and a critic where there is one."""
    return 1 + ("values" in others(config))


def scorings(config: Config) -> int:
    """Forward passes before the update: of other models, and of the policy itself where it changes within a step or an
    advantage looks at it."""
    algorithm = _algorithm(config)
    again = algorithm.advantage_needs | ({"old"} if config.batch.minibatches > 1 or config.batch.epochs > 1 else set())
    passes = algorithm.needs & {"reference", "informed", "teacher", "values"}
    return len(passes) + len(again & {"old", "entropy", "certainty"})


def others(config: Config) -> Set[str]:
    """The models beside the policy that a run's algorithm asks for; the reference is who is shown a solution, too."""
    needs = _algorithm(config).needs
    return {"reference" if need == "informed" else need for need in needs} & {"reference", "teacher", "values"}


def _algorithm(config: Config) -> Algorithm:
    return Algorithm.of(config.algorithm, config.sampling.max_new_tokens)


def sampled(config: Config) -> bool:
    """Whether a run's collector samples; how often it asks again (`refill`, `hint`) is not planned."""
    return COLLECTORS.unit(config.algorithm.collector).trait("samples", True)


def make_plan(config: Config, gpu: str, length: float | None = None) -> dict[str, Any]:
    """Memory, time and samples of a run; `length` is the expected mean response length (half the longest by default).

    Raises:
        OneshotError: an unknown device, or a model without a readable configuration.
    """
    if config.model.dtype == "auto":
        dtype = dtype_of(config.model)[0] if gpu == "cpu" else "bfloat16"
        config = config.model_copy(update={"model": config.model.model_copy(update={"dtype": dtype})})
    shape, device = shape_of(config.model), device_of(gpu)
    expected = length or config.sampling.max_new_tokens / 2
    need, step = memory(config, shape, gpu), seconds(config, shape, device, expected)
    rollouts = config.batch.groups_per_step * config.batch.group_size
    return {
        "device": gpu,
        "parameters": shape.parameters,
        "memory_gib": need,
        "fits": need["peak"] <= 0.92 * device.memory_gib,
        "memory_of_device_gib": device.memory_gib,
        "seconds": step,
        "hours": config.run.steps * step["step"] / 3600,
        "samples": config.run.steps * rollouts * sampled(config),
        "response_tokens": config.run.steps * rollouts * expected,
        "mean_length": expected,
        "assumed": {"decode_share": device.decode_share, "train_share": device.train_share},
    }


def plan_here(config: Config) -> dict[str, Any] | None:
    """The plan on this machine; None where the device's rates or the model's sizes are not known."""
    device = name_here(config.model.device)
    return None if device is None or known_shape(config.model) is None else make_plan(config, device)


def what_happened(run: Run) -> dict[str, float]:
    """Medians of a run's steps in the plan's words: seconds, mean length, and peak memory where it was recorded.

    Raises:
        OneshotError: the run has no steps.
    """
    rows = run.metrics()[1:] or run.metrics()
    if not rows:
        raise OneshotError("this run has no steps yet", where=run.path, fix="Train it first.")

    def median(name: str) -> float:
        values = torch.tensor([row[name] for row in rows if name in row], dtype=torch.float64)
        return float(values.median()) if len(values) else float("nan")

    sample, update = median("time/sample_s"), median("time/update_s")
    return {
        "sample": sample,
        "update": update,
        "step": sample + update + median("time/grade_s"),
        "mean_length": median("response/length_mean"),
        "peak": median("memory/peak_gib"),
    }
