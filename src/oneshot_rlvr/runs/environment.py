"""What a result may depend on besides the configuration."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("oneshot-rlvr", "torch", "transformers", "tokenizers", "safetensors", "math-verify", "numpy")


def environment(device: str, threads: int) -> dict[str, Any]:
    """Command, commit, device (of a GPU its name and memory), torch threads, Python, platform and package versions."""
    return {
        "command": " ".join(sys.argv),
        "commit": commit(),
        "device": device,
        **({"gpu": gpu_of(device)} if device.startswith("cuda") else {}),
        "threads": threads,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def gpu_of(device: str) -> dict[str, Any]:
    """A GPU's name, and its memory in GiB."""
    import torch

    found = torch.cuda.get_device_properties(device)
    return {"name": found.name, "gib": found.total_memory / 2**30}


def commit() -> str | None:
    """The commit of this package's source, if it runs from a git checkout; "+" marks uncommitted changes."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
