"""The files of an export: where they are and what is in them. Imported inside verl too, so it needs little."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import read_json, read_jsonl
from oneshot_rlvr.problems import Problem, load_problems

ENVIRONMENT = "ONESHOT_CLUSTER"  # names the folder to what runs inside verl
LAUNCH = "ONESHOT_LAUNCH"  # the launch's number: the seconds at which it began
FIX = "Give a folder that `oneshot cluster export` wrote."


@dataclass(frozen=True)
class Asked:
    """A problem as it is asked: first without a hint, then with each share of its solution in `ratios`."""

    problem: Problem
    questions: tuple[str, ...]
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class Folder:
    """An export. `path` may be anywhere: nothing in it names its place."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> Folder:
        """The export in a folder.

        Raises:
            OneshotError: there is none.
        """
        if not (path / "export.json").is_file():
            raise OneshotError("no export in this folder", where=path, fix=FIX)
        return cls(path)

    @property
    def about(self) -> dict[str, Any]:
        """`export.json`: the configuration and its sources, the shape, what it was made on."""
        return read_json(self.path / "export.json", FIX)

    @property
    def config(self) -> Config:
        """What the run was asked to do.

        Raises:
            OneshotError: it is damaged.
        """
        try:
            return Config.model_validate(self.about["config"])
        except (KeyError, ValueError) as error:
            raise OneshotError("the configuration is damaged", where=self.path / "export.json", fix=FIX) from error

    def problems(self, name: str = "problems") -> list[Problem]:
        """What is trained on; those of `validation` where there are any."""
        path = self.path / f"{name}.jsonl"
        return load_problems(path) if path.exists() else []

    def asked(self) -> list[Asked]:
        """The problems in the order of their `index`, with the questions that they are asked by."""
        rows = read_jsonl(self.path / "questions.jsonl", FIX)
        return [
            Asked(problem, tuple(row["questions"]), tuple(row["ratios"]))
            for problem, row in zip(self.problems(), rows, strict=True)
        ]

    def metrics_path(self, launch: int) -> Path:
        """Where verl logs a launch's metrics: verl empties the file that it begins, so each launch has its own."""
        return self.path / "logs" / f"metrics_{launch}.jsonl"

    def console_path(self, launch: int) -> Path:
        """What a launch prints."""
        return self.path / "logs" / f"console_{launch}.log"

    def exit_path(self, launch: int) -> Path:
        """A launch's exit code, once it has ended."""
        return self.path / "logs" / f"exit_{launch}"

    def launches(self) -> list[int]:
        """Every launch, the first one first."""
        numbers = (path.stem.removeprefix("console_") for path in self.path.glob("logs/console_*.log"))
        return sorted(int(number) for number in numbers if number.isdigit())

    def graded_path(self, launch: int, split: str, step: int, process: str) -> Path:
        """Where one of verl's reward workers writes the grades of a step."""
        return self.path / "graded" / str(launch) / f"{split}_{step:06d}.{process}.jsonl"

    def graded(self, launch: int, split: str, step: int) -> list[dict[str, Any]]:
        """The graded rollouts of a launch's step."""
        paths = self.path.glob(f"graded/{launch}/{split}_{step:06d}.*.jsonl")
        return [row for path in sorted(paths) for row in read_jsonl(path, FIX)]

    def logged(self) -> dict[int, tuple[int, dict[str, Any]]]:
        """verl's metrics of every step in order, each with the launch that made it: the last one that finished it."""
        found: dict[int, tuple[int, dict[str, Any]]] = {}
        for launch in self.launches():
            for line in read_jsonl(self.metrics_path(launch)):
                found[int(line["step"])] = launch, line["data"]
        return dict(sorted(found.items()))

    def checkpoints(self) -> dict[int, Path]:
        """The steps that verl saved, and where."""
        found = self.path.glob("checkpoints/global_step_*")
        return {int(path.name.removeprefix("global_step_")): path for path in found if (path / "actor").is_dir()}
