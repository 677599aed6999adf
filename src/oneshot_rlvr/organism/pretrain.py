"""Pretraining of the organism: next-token loss on the authors' responses, from a seed, on CPU or GPU.

The result is an ordinary Hugging Face folder: config, safetensors, tokenizer, and `pretraining.json` with what made it.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import recover, remove_folder, verify_folder, write_folder_atomically
from oneshot_rlvr.organism.authors import Turn, make_document
from oneshot_rlvr.organism.tokenizer import END, PAD, build_tokenizer
from oneshot_rlvr.organism.world import make_world
from oneshot_rlvr.policy.model import save_pretrained
from oneshot_rlvr.policy.optimizer import optimizer_tensors, restore_optimizer


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
    independent: bool = False
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 0.01


PRESETS = {
    "organism": Preset(hidden=128, layers=4, heads=4, key_value_heads=2, intermediate=384, steps=9000),
    "control": Preset(hidden=128, layers=4, heads=4, key_value_heads=2, intermediate=384, steps=9000, independent=True),
    "tiny": Preset(hidden=64, layers=2, heads=2, key_value_heads=1, intermediate=160, steps=2500),
}
SAVE_EVERY = 250  # steps
PILE = 2048  # documents that are sorted by length together


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


def encode_document(document: list[Turn], tokenizer: Qwen2Tokenizer) -> tuple[list[int], list[bool]]:
    """Token ids of a document and, for each, whether it carries loss (responses and their end do, prompts do not)."""
    ids: list[int] = []
    learned: list[bool] = []
    for turn in document:
        for text, learn in ((turn.prompt, False), (f" {turn.response}{END}", True)):
            piece = tokenizer(text)["input_ids"]
            ids += piece
            learned += [learn] * len(piece)
    return ids, learned


def batches(
    tokenizer: Qwen2Tokenizer, preset: Preset, seed: int, held_out: set[str], skip: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (ids, labels) batches of documents of like length, from the one after `skip`; -100 labels no loss.

    Each pile of documents has a generator of its own, so that a resumed pretraining goes on with the same text.
    """
    for pile in count():
        rng = random.Random(f"pretraining {seed} pile {pile}")
        documents = (make_document(rng, held_out, preset.independent) for _ in range(PILE))
        encoded = sorted((encode_document(document, tokenizer) for document in documents), key=lambda d: len(d[0]))
        groups: list[list[tuple[list[int], list[bool]]]] = [[]]
        for document in encoded:
            if groups[-1] and len(document[0]) * (len(groups[-1]) + 1) > preset.tokens_per_step:
                groups.append([])
            groups[-1].append(document)
        rng.shuffle(groups)
        for group in groups[skip:]:
            yield _padded(group, token_id(tokenizer, PAD))
        skip = max(0, skip - len(groups))


def _padded(group: list[tuple[list[int], list[bool]]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(ids) for ids, _ in group)
    ids_BT = torch.full((len(group), width), pad)
    labels_BT = torch.full((len(group), width), -100)
    for row, (ids, learned) in enumerate(group):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        labels_BT[row, : len(ids)] = torch.where(torch.tensor(learned), torch.tensor(ids), -100)
    return ids_BT, labels_BT


@dataclass
class Progress:
    """How far a pretraining has come; kept beside its weights so that it can go on."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    recent: list[float] = field(default_factory=list)


def pretrain(
    folder: Path,
    preset_name: str = "organism",
    seed: int = 0,
    steps: int | None = None,
    device: str = "cpu",
    commit: str = "unknown",
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Path:
    """Pretrain a preset from `seed` and write the model folder; `on_step(step, steps, loss)` reports progress.

    An interrupted pretraining goes on where it was last kept, in FOLDER.unfinished.

    Raises:
        OneshotError: another pretraining was interrupted in that folder.
    """
    preset = PRESETS[preset_name]
    total = steps or preset.steps
    tokenizer = build_tokenizer()
    model = new_model(preset, tokenizer, seed)
    torch.nn.Module.to(model, device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay, betas=(0.9, 0.98)
    )
    asked = {"preset": preset_name, "seed": seed, "steps": total, "size": asdict(preset)}
    halfway = folder.with_name(f"{folder.name}.unfinished")
    for kept in (folder, halfway):
        recover(kept)
    progress = _restore(halfway, asked, model, optimizer)
    held_out = {exercise.question for exercises in make_world(0).values() for exercise in exercises}
    source = batches(tokenizer, preset, seed, held_out, progress.step)
    started, before = time.monotonic(), progress.seconds
    while progress.step < total:
        rate = min((progress.step + 1) / preset.warmup, 0.5 * (1 + math.cos(math.pi * progress.step / total)))
        for group in optimizer.param_groups:
            group["lr"] = preset.learning_rate * rate
        ids_BT, labels_BT = (tensor.to(device) for tensor in next(source))
        logits_BTV = model(ids_BT[:, :-1]).logits
        loss = cross_entropy(logits_BTV.flatten(0, 1), labels_BT[:, 1:].flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        progress.step += 1
        progress.tokens += int(ids_BT.numel())
        progress.recent = [*progress.recent[-99:], loss.item()]
        progress.seconds = before + time.monotonic() - started
        on_step(progress.step, total, sum(progress.recent) / len(progress.recent))
        if progress.step % SAVE_EVERY == 0 and progress.step < total:
            _keep(halfway, asked, progress, model, optimizer)
    record = _record(asked, progress, commit, sum(p.numel() for p in model.parameters()), steps)

    def fill(temporary: Path) -> None:
        save_pretrained(model, tokenizer, temporary)
        (temporary / "pretraining.json").write_text(json.dumps(record, indent=2) + "\n")

    write_folder_atomically(folder, fill)
    remove_folder(halfway)
    return folder


def _record(
    asked: dict[str, Any], progress: Progress, commit: str, parameters: int, steps: int | None
) -> dict[str, Any]:
    """How the weights were made: `pretraining.json`."""
    preset, seed = asked["preset"], asked["seed"]
    return {
        "preset": preset,
        "seed": seed,
        "commit": commit,
        "command": f"oneshot pretrain --preset {preset} --seed {seed}" + (f" --steps {steps}" if steps else ""),
        "parameters": parameters,
        "tokens": progress.tokens,
        "seconds": round(progress.seconds),
        "loss": round(sum(progress.recent) / len(progress.recent), 4),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "size": asked["size"] | {"steps": asked["steps"]},
    }


def _keep(
    folder: Path, asked: dict[str, Any], progress: Progress, model: Qwen2ForCausalLM, optimizer: torch.optim.AdamW
) -> None:
    def fill(temporary: Path) -> None:
        weights = {name: tensor.contiguous() for name, tensor in model.named_parameters()}
        save_file(weights, temporary / "model.safetensors")
        save_file(optimizer_tensors(model, optimizer), temporary / "optimizer.safetensors")
        (temporary / "progress.json").write_text(json.dumps({"asked": asked, "progress": asdict(progress)}))

    write_folder_atomically(folder, fill)


def _restore(folder: Path, asked: dict[str, Any], model: Qwen2ForCausalLM, optimizer: torch.optim.AdamW) -> Progress:
    """Go on with what `_keep` wrote, if it was asked for the same.

    Raises:
        OneshotError: another pretraining was interrupted there, or its files are damaged.
    """
    if not folder.exists():
        return Progress()
    fix = "Delete it, or give another --out."
    verify_folder(folder, fix)
    record = json.loads((folder / "progress.json").read_text())
    if record["asked"] != asked:
        raise OneshotError("another pretraining was interrupted here", where=folder, fix=fix)
    with torch.no_grad():
        weights = load_file(folder / "model.safetensors")
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
    restore_optimizer(model, optimizer, load_file(folder / "optimizer.safetensors"))
    return Progress(**record["progress"])
