"""A GGUF file of a small Qwen2 model folder, as llama.cpp's converter lays it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from safetensors.numpy import load_file

LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    folder: Path,
    file: Path,
    matrices: str = "Q8_0",
    output: str | None = "F32",
    without: str = "",
    rope_freqs: Any = None,
    said: dict[str, int | str] | None = None,
) -> None:
    """Write the folder's model: `matrices` are quantised so, and `output` is the second copy of tied embeddings.

    One tensor may be left `without`; `rope_freqs` is Llama 3's tensor, and `said` what else the file says of itself.
    """
    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(file, "qwen2")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), config)
    weights = load_file(folder / "model.safetensors")
    for name, value in weights.items():
        if renamed(name) != without:
            _add(writer, renamed(name), value, matrices if value.ndim == 2 else "F32")
    if rope_freqs is not None:
        _add(writer, "rope_freqs.weight", rope_freqs, "F32")
    for name, value in (said or {}).items():
        (writer.add_string if isinstance(value, str) else writer.add_uint16)(name, value)
    if output is not None:
        _add(writer, "output.weight", weights["model.embed_tokens.weight"], output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def renamed(name: str) -> str:
    """A tensor's name in GGUF."""
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in fixed:
        return fixed[name]
    _, _, number, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    return f"blk.{number}.{LAYER[part]}.{kind}"


def _add(writer: GGUFWriter, name: str, value: Any, kind: str) -> None:
    kept = GGMLQuantizationType[kind]
    writer.add_tensor(name, quantize(value.astype(np.float32), kept), raw_dtype=kept)


def _add_tokenizer(writer: GGUFWriter, tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    vocabulary = tokenizer["model"]["vocab"] | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    special = {token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    names = {index: name for name, index in vocabulary.items()}
    tokens = [names.get(index, f"<|unused_{index}|>") for index in range(config["vocab_size"])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if index in special else 1 for index in range(len(tokens))])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]] or ["1 0"])  # it needs one
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
