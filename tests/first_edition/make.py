"""Make `run.tar.xz`: a small run folder as the first edition wrote it, evaluated, with the model that it started from.

    git worktree add /tmp/first 5c4db10
    PYTHONPATH=/tmp/first/src python tests/first_edition/make.py

Run it under the first edition's package alone; the archive is committed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

OUT = Path(__file__).parent / "run.tar.xz"
SETTINGS = ["run.save_every=1", "batch.groups_per_step=2", "batch.group_size=4", "sampling.max_new_tokens=16"]
SETTINGS += ["model.template=plain", "model.device=cpu", "model.threads=1", "optimizer.learning_rate=1e-3"]
SETTINGS += ["run.validation=organism:validation", "run.validate_every=2", "run.validation_samples=1"]
SETTINGS += ["algorithm.reward=random"]


def small_model(folder: Path, tokenizer_of: Path) -> None:
    """Random weights of one small layer, with the organism's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **sizes,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def oneshot(*args: object) -> None:
    """The first edition's command."""
    command = [sys.executable, "-c", "from oneshot_rlvr.cli import main; main()", *map(str, args)]
    subprocess.run(command, check=True, env=os.environ)


def main() -> None:
    """Train three steps and evaluate."""
    import oneshot_rlvr

    package = Path(str(oneshot_rlvr.__file__)).parent
    assert (package / "cli.py").exists(), "this is not the first edition"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "first"
        small_model(folder / "model", package / "organism" / "weights" / "tiny")
        run = folder / "run"
        sets = [part for setting in SETTINGS for part in ("--set", setting)]
        only = ["--set", "data.only=[pool-000, pool-001]", "--problems", "organism"]
        oneshot("train", "grpo", "--model", folder / "model", "--out", run, "--steps", 3, *sets, *only, "--quiet")
        suite = ["--suite", "organism:numbers", "--limit", 4, "--samples", 2, "--workers", 1, "--quiet"]
        oneshot("eval", run, *suite)
        record = json.loads((run / "config.json").read_text())
        record["values"]["model"]["path"] = "MODEL"  # wherever it is unpacked
        (run / "config.json").write_text(json.dumps(record))
        (run / ".lock").unlink()
        with tarfile.open(OUT, "w:xz") as archive:
            archive.add(folder, "first")


if __name__ == "__main__":
    main()
