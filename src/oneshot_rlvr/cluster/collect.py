"""What verl leaves behind as an ordinary run folder: `oneshot eval`, `select`, `doctor` and `report` work on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from oneshot_rlvr.algorithms import Algorithm, Experience
from oneshot_rlvr.cluster.folder import Folder
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import write_atomically, write_folder_atomically
from oneshot_rlvr.grading import Grade
from oneshot_rlvr.grading.features import mean
from oneshot_rlvr.policy.optimizer import learning_rate_factor
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.rollout import Rollout
from oneshot_rlvr.runs import Run
from oneshot_rlvr.sealing import sealed
from oneshot_rlvr.training import Group
from oneshot_rlvr.training.telemetry import group_metrics, rollout_rows

Row = Mapping[str, Any]
# verl's metrics that are ours by another name.
NAMES = {
    "actor/loss": "policy/loss",
    "actor/entropy": "policy/entropy",
    "actor/kl_loss": "policy/kl",
    "actor/pg_clipfrac": "policy/clip_fraction",
    "actor/clip_fraction": "policy/clip_fraction",
    "actor/grad_norm": "policy/grad_norm",
    "timing_s/gen": "time/sample_s",
    "actor/perf/max_memory_allocated_gb": "memory/peak_gib",
}
OF_SAMPLED = ("tokens/sampled", "outcome/correct_of_sampled")
_UPDATE = ("old_log_prob", "ref", "values", "adv", "update_critic", "update_actor", "update_weights")


def collect(folder: Folder, run: Run) -> int:
    """Write (or bring up to date) the run; returns its last step.

    A step counts once verl has logged it. Checkpoints are Hugging Face folders; what only resuming needs stays where it
    is. `verl.jsonl` keeps all that verl logged.

    Raises:
        OneshotError: verl has made no step yet, its grades are missing, or the folder holds another run.
    """
    lines = folder.logged()
    if not lines:
        raise OneshotError("verl has logged no step", where=folder.path, fix="oneshot cluster run FOLDER first.")
    about, config = folder.about, folder.config
    problems = folder.problems()
    if run.started and (run.config != config or run.problems != problems):
        raise OneshotError("this folder holds another run", where=run.path, fix="Give another --out.")
    graded = {step: folder.graded(launch, "train", step) for step, (launch, _) in lines.items()}
    if lost := [step for step, rows in graded.items() if not rows]:
        raise OneshotError(
            f"step {lost[0]} has no grades", where=folder.path / "graded", fix="Copy the export whole, this folder too."
        )
    with run.locked():
        run.write_problems(problems)
        engine = {"engine": "verl", "gpus": about["gpus"], "nodes": about["nodes"]}
        run.write_environment({**about["environment"], **engine})
        run.write_config(config, about["sources"])
        algorithm = Algorithm.of(config.algorithm, config.sampling.max_new_tokens)
        metrics = []
        for step, (launch, data) in lines.items():
            found = _rollouts(run, algorithm, problems, step, graded[step]) | policy_metrics(data, graded[step])
            # verl logs the rate of the step after; the schedule is ours
            rate = learning_rate_factor(config.optimizer, step - 1, config.run.steps)
            found["optimizer/learning_rate"] = config.optimizer.learning_rate * rate
            if validated := folder.graded(launch, "validation", step):
                found |= _validation(validated, config.run.validation_samples)
            metrics.append({"step": step, **found})
        write_atomically(run.metrics_path, "".join(json.dumps(sealed(line)) + "\n" for line in metrics))
        raw = "".join(json.dumps({"step": step, "data": data}) + "\n" for step, (_, data) in lines.items())
        write_atomically(run.path / "verl.jsonl", raw)
        for step, path in folder.checkpoints().items():
            if step in lines and not run.checkpoint_path(step).exists():
                _checkpoint(run, step, path, config.model.lora_alpha)
    return max(lines)


def groups_of(rows: Sequence[Row], problems: Sequence[Problem]) -> list[Group]:
    """Graded rows as groups, in the order of their places.

    Token ids are not kept: zeros stand for them, and only their number is used.
    """
    known = {problem.id: problem for problem in problems}
    found: dict[int, dict[int, Row]] = {}
    for row in rows:
        found.setdefault(row["place"], {})[row["copy"]] = row
    groups = []
    for _, by_copy in sorted(found.items()):
        members = [by_copy[copy] for copy in sorted(by_copy)]
        grades = [Grade(row["outcome"], row["reward"], row["extracted"], row["layer"]) for row in members]
        problem = known[members[0]["problem_id"]]
        groups.append(Group(problem, [_rollout(row) for row in members], grades, members[0]["hint"]))
    return groups


def _rollout(row: Row) -> Rollout:
    logprobs = () if row["logprob"] is None else (row["logprob"],)  # their sum: what a row keeps of them
    return Rollout(row["problem_id"], (), (0,) * row["tokens"], logprobs, row["text"], row["finish"])


def _rollouts(
    run: Run, algorithm: Algorithm, problems: Sequence[Problem], step: int, rows: Sequence[Row]
) -> dict[str, float]:
    """Write a step's rollouts; their metrics. They have advantages where these need no model: rewards tell them."""
    groups = groups_of(rows, problems)
    experience = Experience.of(groups)
    known = not algorithm.advantage_needs - {"zero_advantage"}
    zero = experience.by_group(experience.rewards_PG.nan_to_num(0.0) * 0)
    found = rollout_rows(groups, algorithm.advantages(experience) if known else zero)
    run.write_rollouts(step, found if known else [row | {"advantage": None} for row in found])
    metrics = group_metrics(groups, experience, groups)
    sampled = len({(row["place"], attempt) for row in rows for attempt in range(row["attempt"] + 1)})
    if sampled > len(groups):  # of earlier attempts nothing is kept
        metrics = {name: value for name, value in metrics.items() if name not in OF_SAMPLED}
    return metrics | {"group/sampled": float(sampled)}


def policy_metrics(data: Row, rows: Sequence[Row]) -> dict[str, float]:
    """What verl logged of a step, by our names."""
    known = {name: value for name, value in data.items() if value is not None}  # null: it was not finite
    found = {ours: float(known[theirs]) for theirs, ours in NAMES.items() if theirs in known}
    if not found.get("memory/peak_gib"):  # verl knows a GPU's alone
        found.pop("memory/peak_gib", None)
    found.setdefault("policy/kl", 0.0)
    found["time/update_s"] = float(sum(known.get(f"timing_s/{part}", 0.0) for part in _UPDATE))
    found["time/grade_s"] = 0.0  # verl grades while it samples
    seconds, again = known.get("timing_s/step"), any(row["attempt"] for row in rows)
    if seconds and not again:  # of earlier attempts nothing is kept
        found["tokens/per_second"] = sum(row["tokens"] for row in rows) / seconds
    return found


def _validation(rows: Sequence[Row], samples: int) -> dict[str, float]:
    by_problem: dict[str, list[bool]] = {}
    for row in rows:
        by_problem.setdefault(row["problem_id"], []).append(row["outcome"] == "correct")
    return {f"validation/avg@{samples}": 100 * mean([mean(right) for right in by_problem.values()])}


def _checkpoint(run: Run, step: int, saved: Path, alpha: int) -> None:
    weights = saved / "actor" / "huggingface"
    if not any(weights.glob("*.safetensors")):
        raise OneshotError(
            "it has no Hugging Face weights",
            where=saved,
            fix=f"python -m verl.model_merger merge --backend fsdp --local_dir {saved}/actor --target_dir {weights}.",
        )
    write_folder_atomically(run.checkpoint_path(step), lambda to: _copied(weights, to, alpha))


def _copied(weights: Path, to: Path, alpha: int) -> None:
    """A Hugging Face folder, with adapters merged: verl saves them beside the weights that they change."""
    parts = sorted(weights.glob("*.safetensors"))
    adapted = any(".lora_" in name for part in parts for name in _names(part))
    for path in weights.iterdir():
        if path.is_file() and not (adapted and (path in parts or path.name == _INDEX)):
            shutil.copyfile(path, to / path.name)
    if adapted:
        tensors = {name: tensor for part in parts for name, tensor in load_file(part).items()}
        save_file(merged(tensors, alpha), to / "model.safetensors", metadata={"format": "pt"})


_INDEX = "model.safetensors.index.json"


def _names(part: Path) -> list[str]:
    with safe_open(part, "pt") as file:
        return list(file.keys())


def merged(tensors: Mapping[str, torch.Tensor], alpha: int) -> dict[str, torch.Tensor]:
    """W + alpha / rank B A for every matrix that has adapters, all under the model's own names."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if ".lora_" in name:
            continue
        stem, changed, own = name.removesuffix(".base_layer.weight"), tensor, name.removeprefix("base_model.model.")
        if f"{stem}.lora_A.default.weight" in tensors:
            a, b = (tensors[f"{stem}.lora_{part}.default.weight"].float() for part in "AB")
            changed = (tensor.float() + alpha / len(a) * (b @ a)).to(tensor.dtype)
        found[own.replace(".base_layer.", ".")] = changed
    return found
