"""Write a folder that verl runs: rows, reward, agent loop, every override, scripts, and the environment to make."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneshot_rlvr.algorithms import Algorithm
from oneshot_rlvr.cluster.folder import Folder
from oneshot_rlvr.cluster.scripts import scripts
from oneshot_rlvr.cluster.settings import overrides
from oneshot_rlvr.cluster.shape import Shape
from oneshot_rlvr.config import Config
from oneshot_rlvr.config.known import MODEL_FOLDERS
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import Sampling
from oneshot_rlvr.files import write_atomically, write_json
from oneshot_rlvr.grading import Response
from oneshot_rlvr.problems import Problem, find_problems, hinted, to_jsonl
from oneshot_rlvr.problems.verl import verl_row, write_verl_rows
from oneshot_rlvr.runs.environment import environment
from oneshot_rlvr.training import COLLECTORS
from oneshot_rlvr.training.prepare import make_grader
from oneshot_rlvr.training.source import problems_of_step

_ADDED = re.compile(
    r"\.mixed_precision\.|\.override_config\.|\.ppo_infer_max_token_len_per_gpu$|^ray_kwargs\.ray_init\.(num_gpus|include_dashboard)$"
)
_LOOP = """# How prompts become responses: verl's agent loops by name.
- name: oneshot
  _target_: oneshot_rlvr.cluster.inside.agent.OneshotLoop
"""
_REWARD = '''"""This run's reward for verl: oneshot-rlvr's grader with the rules of export.json beside this file."""

from pathlib import Path

from oneshot_rlvr.cluster.inside.reward import scorer

compute_score = scorer(Path(__file__).parent)
'''


@dataclass(frozen=True)
class Export:
    """What to hand to verl: a resolved configuration with its sources, its problems, and the machines."""

    config: Config
    sources: Mapping[str, str]
    problems: Sequence[Problem]
    gpus: int = 8
    nodes: int = 1

    @property
    def shape(self) -> Shape:
        """The machines, and the model as verl names it."""
        algorithm = Algorithm.of(self.config.algorithm, self.config.sampling.max_new_tokens)
        needs = algorithm.needs | algorithm.advantage_needs
        own = self.config.critic.path
        critic = "" if own is None else self._named(own, "critic")
        model = self._named(self.config.model.path, "model")
        return Shape(self.gpus, self.nodes, model, needs, critic, Sampling().temperature)

    @property
    def copied(self) -> dict[str, Path]:
        """The folders of models that travel with the export, this package's own, by their names there."""
        asked = {"model": self.config.model.path, "critic": self.config.critic.path}
        return {name: MODEL_FOLDERS[path] for name, path in asked.items() if path in MODEL_FOLDERS}

    def _named(self, path: str, kind: str) -> str:
        """What verl calls a model."""
        if Path(path).is_file():
            raise OneshotError("verl reads model folders", where=path, fix="oneshot model import FILE --out FOLDER.")
        if kind in self.copied:
            return f"{Shape.inside}/{kind}"
        return str(Path(path).resolve()) if Path(path).is_dir() else path

    def overrides(self) -> dict[str, Any]:
        """Every setting of verl's that differs from its default, or says what the run was asked for.

        Raises:
            OneshotError: a setting that verl cannot have; it is named.
        """
        shape = self.shape
        found = overrides(self.config, shape) | shape.overrides()
        if "values" not in shape.needs:
            found = {key: value for key, value in found.items() if not key.startswith("critic.")}
        return found


def export(what: Export, out: Path) -> Folder:
    """Write the folder; nothing in it names its own place, so it may be moved, or lie on a shared disk.

    Raises:
        OneshotError: a setting or problem that verl cannot have, or a folder that holds something.
    """
    found = what.overrides()
    rows = _questions(what)
    _refuse_unscorable(what)
    if out.exists() and any(out.iterdir()):
        raise OneshotError("this folder holds something", where=out, fix="Give another --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "problems.jsonl", to_jsonl(what.problems))
    write_atomically(out / "questions.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_verl_rows(out / "train.parquet", _steps(what))
    validation = _validation(what.config)
    if validation:
        write_atomically(out / "validation.jsonl", to_jsonl(validation))
        write_verl_rows(
            out / "validation.parquet", [_row(one, i, "validation", 0, i) for i, one in enumerate(validation)]
        )
    write_atomically(out / "reward.py", _REWARD)
    write_atomically(out / "loop.yaml", _LOOP)
    write_atomically(out / "overrides.txt", "".join(f"{line}\n" for line in hydra_lines(found)))
    for name, model in what.copied.items():
        shutil.copytree(model, out / name)
    for name, text in scripts(what.config, what.shape).items():
        write_atomically(out / name, text)
        if name.endswith(".sh"):
            (out / name).chmod(0o755)
    write_json(
        out / "export.json",
        {
            "config": what.config.model_dump(mode="json"),
            "sources": dict(what.sources),
            "gpus": what.gpus,
            "nodes": what.nodes,
            "environment": environment("verl", 1),
        },
    )
    return Folder(out)


def _questions(what: Export) -> list[dict[str, Any]]:
    """How each problem is asked: as it stands, then with hints where the collector gives some."""
    unit = COLLECTORS.unit(what.config.algorithm.collector)
    ratios = tuple(unit.options.get("ratios", (0.25, 0.5, 0.75))) if unit.name == "hint" else ()
    return [
        {"questions": [one.question, *(hinted(one, ratio).question for ratio in ratios)], "ratios": [0.0, *ratios]}
        for one in what.problems
    ]


def _refuse_unscorable(what: Export) -> None:
    with make_grader(what.config) as grader:
        for problem in what.problems:
            silent = grader.grade(problem, [Response("", "stop", 1)])[0].reward is None
            if silent or not grader.scorable(problem):
                raise OneshotError(
                    f"the gold {problem.answer!r} cannot be scored by {what.config.algorithm.reward}",
                    where=f"problem {problem.id}",
                    fix="Mend it or leave it out.",
                )


def _validation(config: Config) -> list[Problem]:
    if not config.run.validation or not config.run.validate_every:
        return []
    return find_problems(config.run.validation)


def _steps(what: Export) -> list[dict[str, Any]]:
    """A row for every group of every step, as the local loop would choose them."""
    batch, run = what.config.batch, what.config.run
    return [
        _row(what.problems[index], index, "train", step, place)
        for step in range(1, run.steps + 1)
        for place, index in enumerate(problems_of_step(len(what.problems), batch.groups_per_step, step, run.seed))
    ]


def _row(problem: Problem, index: int, split: str, step: int, place: int) -> dict[str, Any]:
    """verl's schema; `extra_info` says which group of which step it is, and leaves the rest in `problems.jsonl`."""
    row = verl_row(problem, index)
    return row | {"extra_info": {"index": index, "split": split, "step": step, "place": place, "id": problem.id}}


def hydra_lines(found: Mapping[str, Any]) -> list[str]:
    """Overrides as hydra reads them: what verl's files lack is added with a plus, all else must be there."""
    return [f"{'+' if _ADDED.search(key) else ''}{key}={_hydra(value)}" for key, value in found.items()]


def _hydra(value: Any) -> str:
    """A value in hydra's grammar of overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_hydra, value)) + "]"
    if value.startswith(Shape.inside):  # and a file name of ours
        return value
    escaped = value.replace("'", "\\'")
    return f"'{escaped}'"
