"""Pretraining of the organism: next-token loss on the authors' responses, from a seed, on CPU or GPU.

The result is an ordinary Hugging Face folder: config, safetensors, tokenizer, and `pretraining.json` with what made it.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from oneshot_rlvr.organism.authors import make_document
from oneshot_rlvr.organism.tokenizer import END, PAD, build_tokenizer
from oneshot_rlvr.organism.world import make_world
from oneshot_rlvr.policy.model import save_pretrained
from oneshot_rlvr.problems import TEMPLATES
from oneshot_rlvr.rundir import write_folder_atomically


@dataclass(frozen=True)
class Preset:
    """The size of a model and of its pretraining."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int
    steps: int
    tokens_per_step: int = 4096
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 0.01


PRESETS = {
    "organism": Preset(hidden=128, layers=3, heads=4, key_value_heads=2, intermediate=384, steps=5000),
    "tiny": Preset(hidden=64, layers=2, heads=2, key_value_heads=1, intermediate=160, steps=2500),
}


def token_id(tokenizer: Qwen2Tokenizer, token: str) -> int:
    """The id of one token."""
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


def new_model(preset: Preset, tokenizer: Qwen2Tokenizer, seed: int) -> Qwen2ForCausalLM:
    """A Qwen2 model of the preset's size with random weights from `seed`."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=math.ceil(len(tokenizer) / 64) * 64,
        hidden_size=preset.hidden,
        intermediate_size=preset.intermediate,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        num_key_value_heads=preset.key_value_heads,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=token_id(tokenizer, END),
        pad_token_id=token_id(tokenizer, PAD),
    )
    model = Qwen2ForCausalLM(config)
    assert model.generation_config is not None
    model.generation_config.do_sample = True
    return model


def encode_document(document: list[tuple[str, str, str]], tokenizer: Qwen2Tokenizer) -> tuple[list[int], list[bool]]:
    """Token ids of a document and, for each, whether it carries loss (responses and their end do, questions do not)."""
    template, ids, learned = TEMPLATES["plain"], [], []
    for question, response, _ in document:
        for text, learn in ((template.render(question), False), (f" {response}{END}", True)):
            piece = tokenizer(text)["input_ids"]
            ids += piece
            learned += [learn] * len(piece)
    return ids, learned


def batches(
    tokenizer: Qwen2Tokenizer, preset: Preset, seed: int, held_out: set[str]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (ids, labels) batches of documents of like length; labels are -100 where no loss is carried."""
    rng = random.Random(f"pretraining {seed}")
    pad = token_id(tokenizer, PAD)
    while True:
        pile = sorted(
            (encode_document(make_document(rng, held_out), tokenizer) for _ in range(2048)), key=lambda d: len(d[0])
        )
        groups, group = [], []
        for document in pile:
            if group and len(document[0]) * (len(group) + 1) > preset.tokens_per_step:
                groups.append(group)
                group = []
            group.append(document)
        groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            ids_BT = torch.full((len(group), width), pad)
            labels_BT = torch.full((len(group), width), -100)
            for row, (ids, learned) in enumerate(group):
                ids_BT[row, : len(ids)] = torch.tensor(ids)
                labels_BT[row, : len(ids)] = torch.where(torch.tensor(learned), torch.tensor(ids), -100)
            yield ids_BT, labels_BT


def pretrain(
    folder: Path,
    preset_name: str = "organism",
    seed: int = 0,
    steps: int | None = None,
    device: str = "cpu",
    commit: str = "unknown",
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Path:
    """Pretrain a preset from `seed` and write the model folder; `on_step(step, steps, loss)` reports progress."""
    preset = PRESETS[preset_name]
    total = steps or preset.steps
    tokenizer = build_tokenizer(seed)
    model = new_model(preset, tokenizer, seed)
    torch.nn.Module.to(model, device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay, betas=(0.9, 0.98)
    )
    held_out = {exercise.question for exercises in make_world(0).values() for exercise in exercises}
    source = batches(tokenizer, preset, seed, held_out)
    started, tokens, recent = time.monotonic(), 0, []
    for step in range(total):
        rate = min((step + 1) / preset.warmup, 0.5 * (1 + math.cos(math.pi * step / total)))
        for group in optimizer.param_groups:
            group["lr"] = preset.learning_rate * rate
        ids_BT, labels_BT = (tensor.to(device) for tensor in next(source))
        logits_BTV = model(ids_BT[:, :-1]).logits
        loss = cross_entropy(logits_BTV.flatten(0, 1), labels_BT[:, 1:].flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += int(ids_BT.numel())
        recent = [*recent[-99:], loss.item()]
        on_step(step + 1, total, sum(recent) / len(recent))
    record = {
        "preset": preset_name,
        "seed": seed,
        "commit": commit,
        "command": f"oneshot pretrain --preset {preset_name} --seed {seed}" + (f" --steps {steps}" if steps else ""),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": tokens,
        "seconds": round(time.monotonic() - started),
        "loss": round(sum(recent) / len(recent), 4),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "size": asdict(preset) | {"steps": total},
    }

    def fill(temporary: Path) -> None:
        save_pretrained(model, tokenizer, temporary)
        (temporary / "pretraining.json").write_text(json.dumps(record, indent=2) + "\n")

    write_folder_atomically(folder, fill)
    return folder
