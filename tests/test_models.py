"""Models that are not the organism: a real-data Qwen2 with a BPE tokenizer, and a model with code of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
)

from command import oneshot, refused
from oneshot_rlvr.config import resolve
from oneshot_rlvr.policy.model import as_the_model_asks
from oneshot_rlvr.problems import load_problems


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def qwen_folder(tmp_path, shared_data) -> Path:
    """A random-weight Qwen2 model with a byte-level BPE tokenizer trained on DSR-sub's text."""
    text = [p.question for p in load_problems(shared_data / "dsr_sub" / "dsr_sub.parquet", skip_bad_rows=True)]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(text, trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False))
    state = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2Tokenizer(vocab=state["vocab"], merges=[tuple(m) for m in state["merges"]])
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=1536,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "qwen")
    tokenizer.save_pretrained(tmp_path / "qwen")
    return tmp_path / "qwen"


def test_a_model_with_a_chat_template_is_asked_with_it_unless_told_otherwise(qwen_folder):
    def template(*settings: str) -> tuple[str, str]:
        config, sources = as_the_model_asks(*resolve("grpo", str(qwen_folder), settings))
        return config.model.template, sources["model.template"]

    assert template() == ("boxed", "package default")
    path = qwen_folder / "chat_template.jinja"
    path.write_text("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}")
    assert template() == ("chat", "the tokenizer's chat template")
    assert template("model.template=boxed") == ("boxed", "--set")


def test_the_length_of_a_response_comes_from_the_kind_of_model_unless_told_otherwise(qwen_folder):
    def lengths(*settings: str) -> tuple[int, int]:
        sampling = as_the_model_asks(*resolve("grpo", str(qwen_folder), settings))[0].sampling
        return sampling.max_prompt_tokens, sampling.max_new_tokens

    assert lengths() == (1024, 3072)
    template, config = qwen_folder / "chat_template.jinja", qwen_folder / "config.json"
    template.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    assert lengths() == (1024, 1024)
    template.write_text("{% for m in messages %}{{ m.content }}{% endfor %}<think>")
    assert lengths() == (1024, 8192)
    assert lengths("sampling.max_new_tokens=77") == (1024, 77)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 600}))
    assert lengths() == (300, 300)
    assert lengths("sampling.max_new_tokens=77", "sampling.max_prompt_tokens=500") == (500, 77)
    assert lengths("sampling.max_new_tokens=77") == (300, 77)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 1200}))
    assert lengths("sampling.max_new_tokens=77") == (1024, 77)  # what was given fits, whatever the kind would take


def test_the_real_data_path(tmp_path, shared_data, qwen_folder):
    out = tmp_path / "run"
    small = [
        "batch.groups_per_step=4",
        "batch.group_size=8",
        "sampling.max_new_tokens=64",
        "run.save_every=2",
        "model.threads=1",
    ]
    sets = [part for setting in small for part in ("--set", setting)]
    pi_1 = shared_data / "dsr_sub" / "pi1_r128.parquet"
    code, text, err = oneshot(
        "train", "grpo", "--model", qwen_folder, "--problems", pi_1, "--out", out, "--steps", 3, *sets
    )
    assert code == 0, err
    assert "1 problem," in text
    first = load_file(out / "checkpoints" / "step_000003" / "model.safetensors")
    shutil.rmtree(out / "checkpoints" / "step_000003")
    assert oneshot("train", "--resume", out)[0] == 0
    again = load_file(out / "checkpoints" / "step_000003" / "model.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)
    folder, math = out / "checkpoints" / "step_000003", shared_data / "benchmarks" / "math500.jsonl"
    code, _, err = oneshot("eval", folder, "--suite", math, "--limit", 25, "--samples", 2, "--out", tmp_path / "eval")
    assert code == 0, err
    scores = json.loads((tmp_path / "eval" / "scores.json").read_text())["step_000003"]["math500.jsonl"]
    assert scores["n"] == 25
    assert sum(scores["outcomes"].values()) == 50
    assert scores["avg@2"] < 10  # random weights: an honest near-zero


MODELING = '''
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput


class CountConfig(PretrainedConfig):
    model_type = "count_lm"

    def __init__(self, vocab_size=257, width=16, **kwargs):
        self.vocab_size, self.width = vocab_size, width
        super().__init__(**kwargs)


class CountLM(PreTrainedModel):
    """A recurrent model: no attention, no cache."""

    config_class = CountConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed = torch.nn.Embedding(config.vocab_size, config.width)
        self.rnn = torch.nn.GRU(config.width, config.width, batch_first=True)
        self.out = torch.nn.Linear(config.width, config.vocab_size)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, use_cache=None, **kwargs):
        return CausalLMOutput(logits=self.out(self.rnn(self.embed(input_ids))[0]))
'''
TOKENIZATION = '''
from transformers import PreTrainedTokenizer


class ByteTok(PreTrainedTokenizer):
    """One token a byte."""

    model_input_names = ["input_ids"]

    def __init__(self, **kwargs):
        super().__init__(**{"eos_token": "<end>", "pad_token": "<end>", **kwargs})

    @property
    def vocab_size(self):
        return 256

    def get_vocab(self):
        return {f"<{i}>": i for i in range(256)} | self.added_tokens_encoder

    def _tokenize(self, text):
        return [f"<{b}>" for b in text.encode()]

    def _convert_token_to_id(self, token):
        return int(token[1:-1])

    def _convert_id_to_token(self, index):
        return f"<{index}>"

    def convert_tokens_to_string(self, tokens):
        return bytes(int(t[1:-1]) for t in tokens).decode(errors="replace")

    def save_vocabulary(self, save_directory, filename_prefix=None):
        return ()
'''


def test_custom_code_trains_saves_and_loads_and_is_refused_unasked(tmp_path):
    folder = tmp_path / "custom"
    folder.mkdir()
    (folder / "modeling_count.py").write_text(MODELING)
    (folder / "tokenization_byte.py").write_text(TOKENIZATION)
    auto = {"AutoConfig": "modeling_count.CountConfig", "AutoModelForCausalLM": "modeling_count.CountLM"}
    config = {"model_type": "count_lm", "architectures": ["CountLM"], "auto_map": auto, "vocab_size": 257, "width": 16}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = {"tokenizer_class": "ByteTok", "auto_map": {"AutoTokenizer": ["tokenization_byte.ByteTok", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(custom_config(folder), trust_remote_code=True)
    save_model(model, str(folder / "model.safetensors"), metadata={"format": "pt"})

    out = tmp_path / "run"
    sets = ["batch.groups_per_step=2", "batch.group_size=4", "sampling.max_new_tokens=8", "algorithm.reward=format"]
    base = ["train", "grpo", "--model", folder, "--question", "1+1?", "--answer", 2, "--out", out, "--steps", 2]
    base += [part for setting in sets for part in ("--set", setting)]
    said = refused(*base)
    assert "Python code of its own" in said
    assert "trust_remote_code=true" in said
    assert not out.exists()

    assert oneshot(*base, "--set", "model.trust_remote_code=true")[0] == 0
    code, _, err = oneshot("train", "--resume", out, "--steps", 3)
    assert code == 0, err
    checkpoint = out / "checkpoints" / "step_000003"
    assert {"modeling_count.py", "tokenization_byte.py", "config.json", "tokenizer_config.json"} <= {
        path.name for path in checkpoint.iterdir()
    }
    loaded = AutoModelForCausalLM.from_pretrained(checkpoint, trust_remote_code=True)
    assert not torch.equal(loaded.out.weight, model.out.weight)
    tok = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=True)
    assert tok.decode(tok("héllo")["input_ids"]) == "héllo"
    assert torch.isfinite(loaded(torch.tensor([[1, 2, 3]])).logits).all()


def custom_config(folder: Path):
    return AutoConfig.from_pretrained(folder, trust_remote_code=True)
