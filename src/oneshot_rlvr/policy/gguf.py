"""GGUF files in: dequantised, once, into a Hugging Face folder that everything else reads.

Transformers loads a GGUF file and cannot save what it loaded (its configuration says that it is quantised), so a fresh
model is given its weights. A file with tied embeddings holds the matrix twice, quantised differently: the finer copy
becomes both.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.utils import logging as transformers_logging

from oneshot_rlvr.config.known import model_folder, read_files
from oneshot_rlvr.errors import FOREIGN, OneshotError, first_line
from oneshot_rlvr.files import write_folder_atomically
from oneshot_rlvr.sealing import read_record, write_record

RECORD = "gguf.json"  # in the folder: where it comes from
ALIKE = 0.98  # cosine of two copies of one matrix, quantised differently; two matrices have nearly 0
FEWEST_BITS = 4.0


def import_gguf(file: Path, out: Path) -> dict[str, Any]:
    """Write the model and tokenizer of a GGUF file as a Hugging Face folder; returns what is recorded of it.

    The record has the file's name and SHA-256, how many tensors have each quantisation, parameters, and whether the
    embeddings were tied.

    Raises:
        OneshotError: the extra `gguf` is not installed, the file is no GGUF or of an unknown architecture, or `out`
            exists; or the file is one part of several, lacks weights, or has positions that cannot be read.
    """
    if out.exists():
        raise OneshotError("it exists already", where=out, fix="Give another --out, or delete it.")
    return _import(read(file), file, out)


def _import(reader: Any, file: Path, out: Path) -> dict[str, Any]:
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    _refuse_unread(reader, file)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        tokenizer, loaded = _loaded(file)
        with_rope(loaded.config, rope_factors(reader))
        fresh, tied = _filled(loaded, kinds)
    except FOREIGN as error:
        raise OneshotError(
            f"Transformers cannot read it ({first_line(error)})", where=file, fix="Give a model that it knows."
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    record = {
        "file": file.name,
        "sha256": checksum_of(file),
        "quantisation": dict(Counter(kinds.values())),
        "parameters": sum(weight.numel() for weight in fresh.parameters()),
        "tied": tied,
    }

    def fill(folder: Path) -> None:
        fresh.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_record(folder / RECORD, record)

    out.parent.mkdir(parents=True, exist_ok=True)
    write_folder_atomically(out, fill)
    return record


def origin(model: str) -> dict[str, Any] | None:
    """What is recorded of the GGUF file that a configured model was made of; None where it was not.

    Raises:
        OneshotError: the record is damaged.
    """
    record = Path(model_folder(model)) / RECORD
    return read_record(record, "Import it again.") if record.exists() else None


def read(file: Path) -> Any:
    """A GGUF file, its tensors not yet read: gguf's reader.

    Raises:
        OneshotError: the extra is not installed, or there is no such file, or it is none.
    """
    if not file.is_file():
        raise OneshotError("no such file", where=file, fix="Give a .gguf file.")
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise OneshotError("GGUF files need gguf", where=file, fix="pip install 'oneshot-rlvr[gguf]'") from error
    try:
        return GGUFReader(file, "r")
    except FOREIGN as error:
        raise OneshotError(f"it is no GGUF file ({first_line(error)})", where=file, fix="Give a .gguf file.") from error


def _refuse_unread(reader: Any, file: Path) -> None:
    """Parts and positions that Transformers would pass over without a word."""
    fields = reader.fields
    if "split.count" in fields and int(fields["split.count"].contents()) > 1:
        raise OneshotError("it is one part of several", where=file, fix="Join them: llama-gguf-split --merge.")
    scaling = next((field.contents() for name, field in fields.items() if name.endswith(".rope.scaling.type")), "none")
    if scaling != "none":
        raise OneshotError(
            f"its positions are scaled ({str(scaling)[:40]!r}), which is not read",
            where=file,
            fix="Take the model's Hugging Face folder.",
        )


def _loaded(file: Path) -> tuple[Any, Any]:
    """Tokenizer and model, of this file alone: what lies beside it, code of a model's own too, is not looked at."""
    with tempfile.TemporaryDirectory() as empty:
        (Path(empty) / file.name).symlink_to(file.resolve())
        asked = {"gguf_file": file.name, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(empty, **asked)
        loaded, info = AutoModelForCausalLM.from_pretrained(
            empty, dtype=torch.float32, output_loading_info=True, **asked
        )
    if missing := sorted(info["missing_keys"]):  # Transformers has filled them with random numbers
        raise ValueError(f"{len(missing)} weights are missing, {missing[0]} first")
    return tokenizer, loaded


def rope_factors(reader: Any) -> torch.Tensor | None:
    """What llama.cpp divides each rotary frequency by, where the file has it (Llama 3.1 and later)."""
    found = next((tensor for tensor in reader.tensors if tensor.name == "rope_freqs.weight"), None)
    return None if found is None else torch.tensor(found.data.tolist()).flatten()


def with_rope(config: Any, factors: torch.Tensor | None) -> None:
    """Write into a configuration the rotary positions of Llama 3.1 and later, which Transformers' reader passes over.

    Its figures are those of all models that have them, but for the factor, which is the largest of the file's.

    Raises:
        ValueError: they do not give the file's frequencies.
    """
    if factors is None:
        return
    plain_rope = {"rope_type": "default", "rope_theta": config.rope_parameters["rope_theta"]}
    usual = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    config.rope_parameters = plain_rope | {"rope_type": "llama3", "factor": float(factors.max())} | usual
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    unscaled = 1.0 / plain_rope["rope_theta"] ** (torch.arange(0, head, 2) / head)
    if factors.shape != unscaled.shape or not torch.allclose(scaled * factors, unscaled, rtol=1e-3):
        raise ValueError("its rotary frequencies are none of Llama 3's")


def _filled(loaded: Any, kinds: dict[str, str]) -> tuple[PreTrainedModel, bool]:
    """A fresh model with the weights, and whether its output matrix is tied to the embeddings."""
    settings = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    settings["_name_or_path"] = ""
    weights = loaded.state_dict()
    inside, outside = loaded.get_input_embeddings(), loaded.get_output_embeddings()
    names = {parameter.data_ptr(): name for name, parameter in loaded.named_parameters(remove_duplicate=False)}
    tied = inside.weight is outside.weight
    if not tied and inside.weight.shape == outside.weight.shape and _alike(inside.weight, outside.weight):
        tied = True
        if _bits(kinds.get("output.weight", "")) > _bits(kinds.get("token_embd.weight", "")):
            weights[names[inside.weight.data_ptr()]] = outside.weight
        del weights[names[outside.weight.data_ptr()]]
    settings["tie_word_embeddings"] = tied
    with torch.device("meta"):  # its weights are the loaded ones, no copies
        fresh: PreTrainedModel = type(loaded)(type(loaded.config)(**settings))
    fresh.load_state_dict(weights, strict=False, assign=True)
    fresh.tie_weights()
    if absent := [name for name, weight in fresh.named_parameters() if weight.is_meta]:
        raise ValueError(f"{len(absent)} weights are missing, {absent[0]} first")
    fresh.generation_config = loaded.generation_config
    return fresh, tied


def _alike(a: torch.Tensor, b: torch.Tensor, rows: int = 4096) -> bool:
    return (
        float(torch.nn.functional.cosine_similarity(a[:rows].detach().flatten(), b[:rows].detach().flatten(), dim=0))
        > ALIKE
    )


def _bits(kind: str) -> float:
    """Bits a weight, roughly: the number in a quantisation's name."""
    found = re.search(r"\d+", kind)
    return float(found[0]) if found else FEWEST_BITS


def checksum_of(file: Path) -> str:
    """A file's SHA-256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@read_files(".gguf")
def imported(path: str) -> str:
    """The folder of a GGUF file in the cache, made there when it is first used.

    Raises:
        OneshotError: as `import_gguf`.
    """
    file = Path(path).resolve()
    state = file.stat()
    return _imported(file, state.st_size, state.st_mtime_ns)


@lru_cache
def _imported(file: Path, size: int, changed: int) -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oneshot-rlvr" / "gguf"
    folder = cache / f"{file.stem}-{checksum_of(file)[:16]}"
    if not folder.exists():
        reader = read(file)
        gib = 4 * sum(int(tensor.n_elements) for tensor in reader.tensors) / 2**30
        print(f"Dequantising {file.name} into {folder} ({gib:.1f} GiB), once...", file=sys.stderr, flush=True)
        _import(reader, file, folder)
    return str(folder)
