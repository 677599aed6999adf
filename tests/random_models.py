"""Random-weight models of several architectures."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from oneshot_rlvr.policy.model import Policy
from oneshot_rlvr.policy.support import shared_prefix_problem

COMMON: dict[str, Any] = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS = {
    "qwen2": Qwen2Config(**COMMON, intermediate_size=48, num_key_value_heads=2, eos_token_id=1),
    "llama": LlamaConfig(**COMMON, intermediate_size=48, num_key_value_heads=4, eos_token_id=1),
    "qwen3": Qwen3Config(**COMMON, intermediate_size=48, num_key_value_heads=2, head_dim=8, eos_token_id=1),
    "gpt2": GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=128, eos_token_id=1),
    "gemma2": Gemma2Config(**COMMON, intermediate_size=48, num_key_value_heads=2, head_dim=8, eos_token_id=1),
    "mistral": MistralConfig(**COMMON, intermediate_size=48, num_key_value_heads=2, sliding_window=4, eos_token_id=1),
}


def random_model(name: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> PreTrainedModel:
    """A model of the architecture with random weights, large enough that attention and outputs are not flat."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[name], dtype=dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if dtype == torch.float64:
        _norms_in_float64(model)
    return model.eval()


def _norms_in_float64(model: PreTrainedModel) -> None:
    """Transformers' RMSNorm rounds to float32 whatever the model's dtype; torch's does not."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child).__name__.endswith("RMSNorm"):
                norm = torch.nn.RMSNorm(child.weight.shape[0], eps=child.variance_epsilon, dtype=torch.float64)
                norm.weight = child.weight
                setattr(module, name, norm)


def random_policy(name: str, dtype: torch.dtype = torch.float32, tokenizer: object = None) -> Policy:
    """A policy around `random_model`; its shared-prefix path is used where the model allows it."""
    model = random_model(name, dtype)
    why = shared_prefix_problem(model)
    return Policy(model, tokenizer or PlainIds(), (1,), why is None, why, None, None)


class PlainIds:
    """A tokenizer that shows ids as they are."""

    eos_token_id = 1

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return " ".join(str(i) for i in ids)
