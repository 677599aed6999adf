"""A model of your own: any Hugging Face folder. Here a Qwen2 of random weights, from nothing to the page.

    python own_model.py

With random weights there is little to learn: it shows the way, not a result.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from transformers import Qwen2Config, Qwen2ForCausalLM

import oneshot_rlvr as oneshot
from oneshot_rlvr.organism.tokenizer import build_tokenizer


def make_model(folder: Path) -> Path:
    """A Hugging Face folder: config, weights in safetensors, tokenizer."""
    tokenizer = build_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main(home: Path) -> None:
    run = oneshot.train(
        "grpo",
        model=str(make_model(home / "model")),
        problems=[("What is 7 + 5 - 3 + 8?", "17")],
        reward="accuracy + 0.1*format",
        out=home / "run",
        settings={
            "model.template": "plain",
            "run.steps": 3,
            "run.validate_every": 0,
            "batch.groups_per_step": 2,
            "sampling.max_new_tokens": 32,
        },
    )
    scores = oneshot.evaluate(run, suites=["organism:numbers"], limit=4, samples=2, workers=1)
    print(f"{scores.first.average.metric} of the base: {scores.first.average.accuracy:.1f} %")
    print(f"page: {oneshot.report([run])}")


if __name__ == "__main__":
    main(Path(tempfile.mkdtemp()))
