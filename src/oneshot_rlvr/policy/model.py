"""Load and save a Hugging Face causal language model and its tokenizer."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from oneshot_rlvr.config import Config, ModelSection
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.errors import FOREIGN, OneshotError, first_line
from oneshot_rlvr.memory import enough_memory
from oneshot_rlvr.policy.lean import keep_less
from oneshot_rlvr.policy.lora import merged_state
from oneshot_rlvr.policy.precision import fastest
from oneshot_rlvr.policy.products import quicken
from oneshot_rlvr.policy.support import shared_prefix_problem

CHAT_TOKENS, THINKING_TOKENS = 1024, 8192  # of a response, where nobody says
SMALL = 64 << 20  # bytes of weights
LOADING = (*FOREIGN, SafetensorError, StrictDataclassError)  # what Transformers raises of anybody's files


@dataclass
class Policy:
    """A model with its tokenizer. `shared_prefix` says whether prompts may be encoded once (see `attention.py`)."""

    model: PreTrainedModel
    tokenizer: Any
    stop_ids: tuple[int, ...]
    shared_prefix: bool
    why_plain: str | None
    autocast_dtype: torch.dtype | None
    code_folder: Path | None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def longest(self) -> int | None:
        """The most tokens, prompt and response together, that the model allows; None if it sets no limit."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def autocast(self) -> contextlib.AbstractContextManager:
        """The context in which forward passes run."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    def save(self, folder: Path) -> None:
        """Write a Hugging Face folder: safetensors, config, tokenizer, and the model's own code if it brought some."""
        save_pretrained(self.model, self.tokenizer, folder)
        _mend_tokenizer_auto_map(folder / "tokenizer_config.json")
        if self.code_folder is not None:
            for path in self.code_folder.glob("*.py"):
                shutil.copyfile(path, folder / path.name)


def chat_template(section: ModelSection) -> str | None:
    """The chat template that the model's tokenizer brings, if any.

    Raises:
        OneshotError: no such model, or its tokenizer cannot be loaded.
    """
    source = model_folder(section.path)
    _refuse_unasked_code(source, section.trust_remote_code)
    template = getattr(load_tokenizer(source, section.trust_remote_code), "chat_template", None)
    return template if template is None or isinstance(template, str) else json.dumps(template)


def as_the_model_asks(config: Config, sources: dict[str, str], here: bool = True) -> tuple[Config, dict[str, str]]:
    """A configuration with what nobody chose taken from the model's kind.

    A tokenizer's chat template; the length of a response: `CHAT_TOKENS` of a chat model, `THINKING_TOKENS` of one whose
    template opens a thought; no more tokens than the model has places for. If it is to run `here`, also the dtype that
    `auto` means on this machine; and less memory for the optimizer of a large model on a CPU.
    """
    chosen: dict[str, tuple[Any, str]] = {}

    def choose(key: str, value: Any, why: str) -> None:
        if sources[key] == "package default":
            chosen[key] = value, why

    template = chat_template(config.model)
    if template is not None:
        kind = (THINKING_TOKENS, "a model that thinks") if "<think>" in template else (CHAT_TOKENS, "a chat model")
        choose("model.template", "chat", "the tokenizer's chat template")
        choose("sampling.max_new_tokens", *kind)
    tokens, _ = chosen.get("sampling.max_new_tokens", (config.sampling.max_new_tokens, ""))
    places = places_of(config.model)
    if places is not None and tokens + config.sampling.max_prompt_tokens > places:
        choose("sampling.max_new_tokens", places // 2, f"half of the model's {places} places")
        choose("sampling.max_prompt_tokens", places - places // 2, f"half of the model's {places} places")
    if here and config.model.dtype == "auto":
        chosen["model.dtype"] = dtype_of(config.model)
    if here and checked_device(config.model.device) == "cpu" and not is_small(config.model):
        choose("optimizer.moments", "bfloat16", "a large model in a computer's own memory")
    updated = {}
    for name in ("model", "sampling", "optimizer"):
        own = {key.removeprefix(f"{name}."): value for key, (value, _) in chosen.items() if key.startswith(f"{name}.")}
        updated[name] = getattr(config, name).model_copy(update=own)
    return config.model_copy(update=updated), sources | {key: why for key, (_, why) in chosen.items()}


def places_of(section: ModelSection) -> int | None:
    """The most tokens, prompt and response together, that the model allows, where its configuration can be read."""
    try:
        config = text_config(section)
    except OneshotError:  # said when the model is loaded
        return None
    return getattr(config, "max_position_embeddings", None)


def text_config(section: ModelSection) -> Any:
    """The configuration of a model's language part, without its weights.

    Raises:
        OneshotError: it cannot be read, or brings code without permission.
    """
    source = model_folder(section.path)
    _refuse_unasked_code(source, section.trust_remote_code)
    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=section.trust_remote_code).get_text_config()
    except LOADING as error:
        raise OneshotError(
            f"cannot read this model's configuration: {first_line(error)}",
            where=source,
            fix="Give a model folder or profile.",
        ) from error


def save_pretrained(model: PreTrainedModel, tokenizer: Any, folder: Path) -> None:
    """Save both, adapters merged in float32; a full disk is an `OSError` whichever library met it."""
    merged = merged_state(model)
    model.save_pretrained(folder, state_dict=merged)
    if merged is not None and model.dtype == torch.bfloat16:
        _name_dtype(folder / "config.json", "float32")
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:  # the tokenizers library raises nothing narrower for a failed write
        raise OSError(f"the tokenizer was not saved: {error}") from error


def _mend_tokenizer_auto_map(path: Path) -> None:
    """Transformers 5.23 saves a custom tokenizer's class as a string, and can load only a (slow, fast) pair."""
    config = json.loads(path.read_text(encoding="utf-8"))
    reference = config.get("auto_map", {}).get("AutoTokenizer")
    if isinstance(reference, str):
        config["auto_map"]["AutoTokenizer"] = [reference, None]
        path.write_text(json.dumps(config, indent=2), encoding="utf-8")


def load_policy(section: ModelSection, share_prefix: bool = True, tokenizer: Any = None) -> Policy:
    """Load a policy as configured; without `share_prefix` it computes prompts as the model does.

    A `tokenizer` that was loaded from the same place is not loaded again.

    Raises:
        OneshotError: no such model, unreadable or missing weights, no tokenizer, or custom code without permission.
    """
    _use_threads(section.threads)
    source = model_folder(section.path)
    _refuse_unasked_code(source, section.trust_remote_code)
    if tokenizer is None:
        tokenizer = load_tokenizer(source, section.trust_remote_code)
    model = _load_model(source, section)
    for module in model.modules():  # dropout would make the ratio of an on-policy step differ from 1
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    outputs = getattr(model.config.get_text_config(), "vocab_size", None)
    if outputs is not None and len(tokenizer) > outputs:
        raise OneshotError(
            f"the tokenizer has {len(tokenizer)} tokens, the model only {outputs}",
            where=source,
            fix="Use the model's own tokenizer.",
        )
    keep_less(model)
    if model.device.type == "cpu":
        quicken(model)
    problem = shared_prefix_problem(model) if share_prefix else "speed.shared_prefix is off"
    if section.gradient_checkpointing:
        enable_checkpointing(model)
    return Policy(
        model=model,
        tokenizer=tokenizer,
        stop_ids=_stop_ids(model, tokenizer, source),
        shared_prefix=problem is None,
        why_plain=problem,
        autocast_dtype=torch.bfloat16 if section.autocast else None,
        code_folder=Path(source) if section.trust_remote_code and Path(source).is_dir() else None,
    )


_threads_before: int | None = None  # torch's, before a model asked for a number of its own


def _use_threads(asked: int | None) -> None:
    """The asked number of threads; without one, what there was before a model loaded earlier changed it."""
    global _threads_before
    if asked:
        _threads_before = _threads_before or torch.get_num_threads()
        torch.set_num_threads(asked)
    elif _threads_before:
        torch.set_num_threads(_threads_before)
        _threads_before = None


def enable_checkpointing(model: PreTrainedModel) -> None:
    """Recompute activations in the backward pass (never reentrant: our attention reads tensors that are not inputs)."""
    options = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):  # its name from Transformers 5.2x on
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
    model.train()


def is_small(section: ModelSection) -> bool:
    """Whether the weights are here and below `SMALL`: seconds a sample on a CPU, where others take minutes."""
    folder = Path(model_folder(section.path))
    files = list(folder.glob("*.safetensors")) if folder.is_dir() else []
    return bool(files) and sum(file.stat().st_size for file in files) <= SMALL


def dtype_of(section: ModelSection) -> tuple[str, str]:
    """The dtype that a configured one means, and why."""
    if section.dtype != "auto":
        return section.dtype, "as configured"
    return fastest(checked_device(section.device).partition(":")[0], is_small(section))


def checked_device(name: str) -> str:
    """The device that a configured name means.

    Raises:
        OneshotError: unknown, or not available here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(?::\d{1,3})?", name):
        raise OneshotError(f"unknown device {name!r}", where="model.device", fix="Use auto, cpu, cuda or cuda:1.")
    if name != "cpu" and not torch.cuda.is_available():
        raise OneshotError(
            "no CUDA device is available", where=f"model.device={name}", fix="Use cpu, or install a CUDA torch."
        )
    if name != "cpu" and (torch.device(name).index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise OneshotError("there is no such device", where=f"model.device={name}", fix=f"The last is cuda:{last}.")
    return name


def _name_dtype(path: Path, dtype: str) -> None:
    """Write into a model's configuration what its weights are in, which Transformers takes from the module."""
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | {"dtype": dtype}, indent=2) + "\n", encoding="utf-8")


def _refuse_unasked_code(source: str, allowed: bool) -> None:
    """Local folders are looked at first; hub names leave the refusal to Transformers."""
    folder = Path(source)
    if not folder.is_dir():
        return
    for name in ("config.json", "tokenizer_config.json"):
        try:
            values = json.loads((folder / name).read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError("it is no JSON object")
        except FileNotFoundError:
            if name == "config.json":
                raise OneshotError(
                    "no config.json in this model folder", where=source, fix="Give a Hugging Face model folder."
                ) from None
            continue
        except (OSError, ValueError, RecursionError) as error:
            raise OneshotError(f"cannot read {name}: {error}", where=source, fix="Restore the file.") from error
        if "auto_map" in values and not allowed:
            raise OneshotError(
                f"the model brings Python code of its own (auto_map in {name}), which is not run unasked",
                where=source,
                fix="Read the code, then pass --set model.trust_remote_code=true.",
            )


def load_tokenizer(source: str, trust: bool) -> Any:
    """The tokenizer of a model folder or hub model, with a padding token.

    Raises:
        OneshotError: there is none, or it cannot be loaded.
    """
    folder = Path(source)
    if folder.is_dir() and not any(
        (folder / name).exists() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")
    ):
        raise OneshotError(
            "the model folder has no tokenizer", where=source, fix="Save one with tokenizer.save_pretrained()."
        )
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=trust)
    except LOADING as error:
        raise OneshotError(
            f"cannot load the tokenizer: {first_line(error)}", where=source, fix="Check the folder or name."
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _load_model(source: str, section: ModelSection) -> PreTrainedModel:
    device = checked_device(section.device)
    if os.environ.get("ONESHOT_VERBOSE") is None:
        transformers_logging.disable_progress_bar()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source,
            output_loading_info=True,
            dtype=getattr(torch, dtype_of(section)[0]),
            use_safetensors=True,
            trust_remote_code=section.trust_remote_code,
        )
    except LOADING as error:
        raise OneshotError(
            f"cannot load the model: {first_line(error)}", where=source, fix="Check the folder or name."
        ) from error
    model, loading = loaded
    missing = sorted(loading["missing_keys"])
    if missing:  # Transformers would fill them with random numbers
        raise OneshotError(
            f"{len(missing)} weights are missing, {missing[0]} first", where=source, fix="Give the whole model."
        )
    with enough_memory(source):
        torch.nn.Module.to(model, device)  # Transformers narrows `to` to fewer types than torch takes
    return model.eval()


def stop_sources(model: PreTrainedModel, tokenizer: Any) -> dict[str, tuple[int, ...]]:
    """The tokens that end a response, by who says so; the template adds its end of turn (`Template.stop_ids`)."""
    said = {
        "generation_config.json": getattr(getattr(model, "generation_config", None), "eos_token_id", None),
        "config.json": getattr(model.config, "eos_token_id", None),
        "tokenizer": tokenizer.eos_token_id,
    }
    return {who: (value,) if isinstance(value, int) else tuple(value or ()) for who, value in said.items()}


def _stop_ids(model: PreTrainedModel, tokenizer: Any, source: str) -> tuple[int, ...]:
    """Every token that ends a response, whoever names it."""
    found = {token for tokens in stop_sources(model, tokenizer).values() for token in tokens}
    if not found:
        raise OneshotError(
            "neither the model nor the tokenizer names an end token", where=source, fix="Set eos_token_id."
        )
    return tuple(sorted(found))
