"""What verl's environment has, as one line of JSON: `python -m oneshot_rlvr.cluster.inside.probe EXPORT`."""

from __future__ import annotations

import importlib
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from oneshot_rlvr.cluster.folder import Folder
from oneshot_rlvr.errors import FOREIGN, first_line
from oneshot_rlvr.problems import encode_prompt, get_template

PACKAGES = ("verl", "ray", "TransferQueue", "vllm", "flash-attn", "math-verify", "oneshot-rlvr")


def probe(folder: Folder, model: str) -> dict[str, Any]:
    """Versions, why verl would not load our plugin, CPUs and GPUs, and the longest prompt in tokens."""
    found: dict[str, Any] = {
        "packages": {name: _version(name) for name in PACKAGES},
        "plugin": _plugin(),
        "cpus": os.cpu_count(),
        "gpus": torch.cuda.device_count(),
        "memory_gib": [
            torch.cuda.get_device_properties(i).total_memory / 2**30 for i in range(torch.cuda.device_count())
        ],
    }
    config = folder.config
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=config.model.trust_remote_code)
        own = AutoConfig.from_pretrained(model, trust_remote_code=config.model.trust_remote_code).get_text_config()
    except FOREIGN as error:
        return found | {"model": first_line(error)}
    template = get_template(config.model.template)
    questions = [question for one in folder.asked() for question in one.questions]
    lengths = [len(encode_prompt(template, question, tokenizer)) for question in questions]
    return found | {"longest": max(lengths), "places": getattr(own, "max_position_embeddings", None)}


def _plugin() -> str | None:
    """Why verl would not load our plugin and agent loop; verl itself says nothing of it."""
    if not any(point.name == "oneshot" for point in entry_points(group="verl.plugins")):
        return "no entry point names it"
    try:
        importlib.import_module("oneshot_rlvr.cluster.inside.agent")
        importlib.import_module("oneshot_rlvr.cluster.inside.plugin")
    except FOREIGN as error:
        return first_line(error)
    return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps(probe(Folder(Path(sys.argv[1])), sys.argv[2])))
