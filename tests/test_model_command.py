"""`oneshot model`: a first look, and GGUF files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from command import oneshot, refused
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.policy.gguf import RECORD
from oneshot_rlvr.runs import Run

TINY = Path(model_folder("tiny"))
EMBEDDINGS = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("gguf", reason="the extra gguf is not installed")
    from gguf_file import write_gguf

    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(TINY, path)
    return path


def test_one_screen_says_what_a_run_would_do():
    code, out, _ = oneshot("model", "show", "tiny")
    assert code == 0
    for words in (
        "Qwen2ForCausalLM, 0.1 M parameters, 2 layers of 64, vocabulary 896 (tied)",
        "Template plain (model profile organism); the tokenizer has a chat template.",
        r"Prompt: 'Question: What is 5 + 41 - 15 + 33?\nAnswer:'",
        "Question|:| What| is",
        "An answer ends with: '<|endoftext|>' (0, generation_config.json, config.json, tokenizer); or after 64 tokens.",
        "A prompt is computed once for all of its rollouts: yes.",
        "A step of the recipe: about",
        "4. ",
    ):
        assert words in " ".join(out.split()), words
    assert len(out.splitlines()) < 40


def test_the_same_for_scripts_in_the_users_own_way():
    settings = ("--set", "model.template=qwen25-math-cot", "--set", "sampling.stop_ids=[17]")
    code, out, _ = oneshot(
        "model", "show", "tiny", "--question", "What is 1 + 2?", "--answer", "3", *settings, "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert found["prompt"].endswith("<|im_start|>user\nWhat is 1 + 2?<|im_end|>\n<|im_start|>assistant\n")
    assert "".join(found["prompt_tokens"]) == found["prompt"]
    assert {stop["id"]: stop["from"] for stop in found["stops"]} == {
        0: ["generation_config.json", "config.json", "tokenizer"],
        3: ["template"],
        17: ["sampling.stop_ids"],
    }
    assert len(found["answers"]) == 4
    assert (found["max_new_tokens"], found["shown_tokens"], found["stop_strings"]) == (64, 64, [])
    more = ("--set", "sampling.stop_at_turn_end=false", "--set", "sampling.stop_strings=['##']")
    more = (*more, "--set", "sampling.max_new_tokens=200")
    code, out, _ = oneshot("model", "show", "tiny", *settings, *more)
    said = " ".join(out.split())
    assert "'##' (sampling.stop_strings); or after 200 tokens" in said
    assert "template)" not in said
    assert "cut off after 128 tokens here" in said
    assert {"text", "tokens", "finish", "outcome", "extracted"} == set(found["answers"][0])
    assert found["plan"]["memory_gib"]["peak"] > 0
    assert found["gguf"] is None


def test_a_question_needs_its_answer_and_a_model_has_to_be_there():
    assert "go together" in refused("model", "show", "tiny", "--question", "What?")
    assert "no such model file or folder" in refused("model", "show", "here/is/none")


def test_a_gguf_becomes_a_folder_with_the_finer_copy_of_tied_embeddings(file: Path, tmp_path: Path):
    code, out, _ = oneshot("model", "import", file, "--out", tmp_path / "model")
    assert code == 0
    assert "output tied to the embeddings" in out
    theirs, ours = load_file(TINY / "model.safetensors"), load_file(tmp_path / "model" / "model.safetensors")
    assert theirs.keys() == ours.keys()
    assert np.array_equal(theirs[EMBEDDINGS], ours[EMBEDDINGS])  # of the float32 copy, not of the 8 bits
    for name, value in theirs.items():
        assert np.abs(ours[name] - value).max() <= np.abs(value).max() / 127
    record = json.loads((tmp_path / "model" / RECORD).read_text())
    assert record["quantisation"] == {"Q8_0": 15, "F32": 12}
    assert len(record["sha256"]) == 64
    assert "exists already" in refused("model", "import", file, "--out", tmp_path / "model")


def llama_3(theta: float, head: int) -> torch.Tensor:
    """What llama.cpp's converter writes for a model of Llama 3.1's positions, factor 8: 1 where a wave is shorter than
    8192 / 4 tokens, 8 where it is longer than 8192, and between them by a straight line of 8192 / wave."""
    waves = 2 * torch.pi * theta ** (torch.arange(0, head, 2) / head)
    middle = 1 / ((1 - (8192 / waves - 1) / 3) / 8 + (8192 / waves - 1) / 3)
    return torch.where(waves < 2048, 1.0, torch.where(waves > 8192, 8.0, middle))


def test_llama_3s_positions_are_read(file: Path, tmp_path: Path):
    from gguf_file import write_gguf

    config = json.loads((TINY / "config.json").read_text())
    theta = config["rope_parameters"]["rope_theta"]
    factors = llama_3(theta, config["hidden_size"] // config["num_attention_heads"])
    assert factors.unique().numel() >= 3
    write_gguf(TINY, tmp_path / "llama.gguf", rope_freqs=factors.numpy())
    assert oneshot("model", "import", tmp_path / "llama.gguf", "--out", tmp_path / "model")[0] == 0
    rope = json.loads((tmp_path / "model" / "config.json").read_text())["rope_parameters"]
    assert (rope["rope_type"], rope["factor"], rope["rope_theta"]) == ("llama3", 8.0, theta)
    write_gguf(TINY, tmp_path / "odd.gguf", rope_freqs=factors.numpy() ** 2)
    code, _, said = oneshot("model", "import", tmp_path / "odd.gguf", "--out", tmp_path / "never")
    assert (code, "rotary frequencies" in said) == (2, True)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"said": {"split.count": 2}}, "one part of several"),
        ({"said": {"qwen2.rope.scaling.type": "yarn"}}, "scaled ('yarn')"),
        ({"without": "blk.0.ffn_up.weight"}, "1 weights are missing"),
        ({"without": "output_norm.weight"}, "1 weights are missing"),
    ],
)
def test_what_transformers_would_pass_over_is_refused(file: Path, tmp_path: Path, changed: dict[str, Any], why: str):
    from gguf_file import write_gguf

    write_gguf(TINY, tmp_path / "less.gguf", **changed)
    code, _, said = oneshot("model", "import", tmp_path / "less.gguf", "--out", tmp_path / "never")
    assert code == 2
    assert why in said.splitlines()[-1]  # the bar of what was dequantised may stand before it
    assert not (tmp_path / "never").exists()


def test_what_lies_beside_a_gguf_is_not_looked_at(file: Path, tmp_path: Path):
    shutil.copyfile(file, tmp_path / "tiny.gguf")
    hostile = {"auto_map": {"AutoTokenizer": ["mine.Tokenizer", None]}, "tokenizer_class": "Tokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(hostile))
    (tmp_path / "mine.py").write_text("raise SystemExit('run')")
    assert oneshot("model", "import", tmp_path / "tiny.gguf", "--out", tmp_path / "model")[0] == 0


def test_a_gguf_is_a_model_by_itself_and_is_read_once(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = [f"--set={pair}" for pair in ("model.template=plain", "sampling.max_new_tokens=16", "model.device=cpu")]
    settings += ["--set=batch.groups_per_step=2", "--set=run.validate_every=0"]
    sum_of = ("--question", "What is 3 + 4?", "--answer", "7", "--steps", 2, "--out", tmp_path / "run", "--quiet")
    code, _, err = oneshot("train", "--model", file, *sum_of, *settings)
    assert code == 0
    assert err.count("Dequantising tiny.gguf") == 1
    assert Run(tmp_path / "run").environment["gguf"]["file"] == "tiny.gguf"
    code, out, err = oneshot("model", "show", file, *settings)
    assert code == 0
    assert "Dequantising" not in err
    assert "from tiny.gguf, sha256" in out
    code, out, _ = oneshot("eval", tmp_path / "run", "--suite", "organism:numbers", "--limit", 2, "--quiet")
    assert code == 0


def test_a_file_that_is_no_gguf_is_one_line(file: Path, tmp_path: Path):
    pytest.importorskip("gguf")
    bad = tmp_path / "bad.gguf"
    for content in (b"", b"GGUF", b"hello" * 100, file.read_bytes()[:3000], file.read_bytes()[:-5000]):
        bad.write_bytes(content)
        assert "bad.gguf" in refused("model", "import", bad, "--out", tmp_path / "never")
        assert not (tmp_path / "never").exists()
    assert "missing.gguf: no such file" in refused(
        "model", "import", tmp_path / "missing.gguf", "--out", tmp_path / "x"
    )
    for missing in ("missing.gguf", str(tmp_path / "missing.gguf")):
        assert "missing.gguf: no such model file or folder" in refused("model", "show", missing)
