"""Models that are known by a short name: guests such as the organism register theirs."""

from __future__ import annotations

from pathlib import Path

MODEL_FOLDERS: dict[str, Path] = {}


def register_model(name: str, folder: Path) -> None:
    """Let `model.path` say `name` for a Hugging Face folder."""
    MODEL_FOLDERS[name] = folder


def model_folder(path: str) -> str:
    """The folder or hub name that a configured model path means."""
    return str(MODEL_FOLDERS.get(path, path))
