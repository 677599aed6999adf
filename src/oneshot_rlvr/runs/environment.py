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
    """Command, commit, device, torch threads, Python, platform and package versions."""
    return {
        "command": " ".join(sys.argv),
        "commit": commit(),
        "device": device,
        "threads": threads,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def commit() -> str | None:
    """The commit of this package's source, if it runs from a git checkout; "+" marks uncommitted changes."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
