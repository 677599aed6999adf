"""Models that are known by a short name, and kinds of files that become a model folder: others register theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

MODEL_FOLDERS: dict[str, Path] = {}
READERS: dict[str, Callable[[str], str]] = {}  # by the file's ending


def register_model(name: str, folder: Path) -> None:
    """Let `model.path` say `name` for a Hugging Face folder."""
    MODEL_FOLDERS[name] = folder


def read_files(ending: str) -> Callable[[Callable[[str], str]], Callable[[str], str]]:
    """Let `model.path` name a file with this ending; the function gives the model folder that it stands for."""

    def register(reader: Callable[[str], str]) -> Callable[[str], str]:
        READERS[ending] = reader
        return reader

    return register


def model_folder(path: str) -> str:
    """The folder or hub name that a configured model path means.

    Raises:
        OneshotError: it is a model file that cannot be read.
    """
    reader = READERS.get(Path(path).suffix.lower())
    if reader is not None and Path(path).is_file():
        return reader(path)
    return str(MODEL_FOLDERS.get(path, path))
