"""Models of a given size with random weights whose responses end as a benchmark needs, and what their work costs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AddedToken, PretrainedConfig, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from oneshot_rlvr.organism.tokenizer import END, PAD
from oneshot_rlvr.problems import Problem

WORDS = Problem(
    "loaves",
    "A baker sells 18 loaves in the morning and half as many in the afternoon. Each loaf costs 3 dollars, and she pays "
    "2 dollars for the flour of every loaf. How many dollars has she earned by the end of the day?",
    "27",
    "made for this benchmark",
)


def qwen2(**sizes: Any) -> Qwen2Config:
    """A Qwen2 configuration whose texts have up to 4096 tokens."""
    return Qwen2Config(max_position_embeddings=4096, bos_token_id=None, **sizes)


def twenty_million() -> Qwen2Config:
    """20.4 M parameters without the output layer: 8 layers, hidden 384, 8192 tokens."""
    attention = {"num_attention_heads": 6, "num_key_value_heads": 2}
    return qwen2(vocab_size=8192, hidden_size=384, intermediate_size=1536, num_hidden_layers=8, **attention)


def small(hidden: int = 128, intermediate: int = 384) -> Qwen2Config:
    """1.3 M parameters by default: the shape of the organism with a larger vocabulary."""
    attention = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return qwen2(vocab_size=4096, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=4, **attention)


def word_tokenizer(vocabulary: int) -> Qwen2Tokenizer:
    """A tokenizer with a word for every token, `t0`, `t1`, ..., after 256 bytes and the special tokens."""
    first = {token: i for i, token in enumerate([END, PAD, *sorted(ByteLevel.alphabet())])}
    tokenizer = Qwen2Tokenizer(vocab=first, merges=[], unk_token=cast(str, None), eos_token=END, pad_token=PAD)
    words: list[str | AddedToken] = [
        AddedToken(f" t{i}", normalized=False, special=False) for i in range(vocabulary - len(tokenizer))
    ]
    tokenizer.add_tokens(words)
    return tokenizer


@torch.no_grad()
def write_model(folder: Path, config: Qwen2Config, stop_probability: float, seed: int = 0) -> None:
    """A model folder whose responses end after each token with about `stop_probability` (0: never).

    Every embedding has a large component along one direction, so that the hidden states have much in common; the end
    token's output weights are their mean, as large as needed. All other tokens are about equally likely.
    """
    torch.manual_seed(seed)
    config.tie_word_embeddings = False
    tokenizer = word_tokenizer(config.vocab_size)
    config.eos_token_id, config.pad_token_id = 0, 1
    model = Qwen2ForCausalLM(config)
    along = torch.nn.functional.normalize(torch.randn(config.hidden_size), dim=0)
    model.model.embed_tokens.weight += 3 * along
    head = model.lm_head.weight
    head[0] = 0.0
    ids = torch.randint(300, config.vocab_size, (4, 256))
    hidden = model.model(input_ids=ids).last_hidden_state.flatten(0, 1)
    along = hidden.mean(0)
    rest = (head[1:] @ hidden.T).logsumexp(0)
    wanted = math.log(stop_probability / (1 - stop_probability)) if stop_probability else -50.0
    head[0] = along * ((rest.mean() + wanted) / (hidden @ along).mean())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def prompt_text(tokens: int) -> str:
    """A prompt of this many tokens of `word_tokenizer`."""
    return "".join(f" t{i * 7 % 1000}" for i in range(tokens))


def matrix_rate(seconds: float = 1.0, dtype: torch.dtype = torch.float32, device: str = "cpu") -> float:
    """Operations a second of a large matrix product, the median over `seconds`."""
    size = 1024 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    rates, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        torch.mm(a, b)
        if device != "cpu":
            torch.cuda.synchronize()
        rates.append(2 * size**3 / (time.perf_counter() - started))
    return statistics.median(rates)


def forward_operations(config: PretrainedConfig, prompt: int, lengths: Sequence[int]) -> float:
    """Operations of one forward pass over a prompt, once, and responses of these lengths after it, every token scored.

    Two for each weight of a matrix and token; scores and sums of attention over what each token sees.
    """
    hidden, size = config.hidden_size, config.hidden_size // config.num_attention_heads
    heads, own = config.num_attention_heads, config.num_key_value_heads
    layer = hidden * size * (2 * heads + 2 * own) + 3 * hidden * config.intermediate_size
    seen = prompt * prompt / 2 + sum(n * prompt + n * n / 2 for n in lengths)
    tokens = prompt + sum(lengths)
    linear = 2 * tokens * config.num_hidden_layers * layer
    return linear + 4 * seen * heads * size * config.num_hidden_layers + 2 * sum(lengths) * hidden * config.vocab_size


def spread(values: Sequence[float]) -> dict[str, float | list[float]]:
    """Median, quartiles and all values."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {"median": middle, "quartiles": [low, high], "values": list(values)}


def peak_memory(work: Callable[[], object]) -> float:
    """The most memory that `work` held beyond what was there before, in MiB: of the GPU if there is one, else of this
    process (Linux)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 2**10


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
