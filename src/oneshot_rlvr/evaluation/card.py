"""A trained model's card with its scores, and its way to the Hugging Face hub."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError, first_line
from oneshot_rlvr.files import MANIFEST, write_folder_atomically
from oneshot_rlvr.problems.benchmarks import title_of
from oneshot_rlvr.runs import EvaluationFolder, ModelScores, Run, Scores, step_name, step_of

CARD = """# {title}

{base} trained on {what} with oneshot-rlvr (recipe `{recipe}`, {steps} steps, seed {seed}; step {step} is in this
folder).

{scores}
| | |
|---|---|
| reward | `{reward}` |
| learning rate | {rate} |
| groups x rollouts a step | {groups} x {size} |
| template | `{template}` |
| commit of the code | {commit} |
"""


@dataclass(frozen=True)
class Chosen:
    """A checkpoint of a run to publish."""

    run: Run
    step: int

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.run.checkpoint_path(self.step)


def chosen(path: Path) -> Chosen:
    """The checkpoint that a path names; of a run, the one that counts (`Run.chosen_step`).

    Raises:
        OneshotError: neither a run nor a checkpoint of one, or it is damaged.
    """
    if Run(path).started:
        run = Run(path)
        step = run.chosen_step()
        if step is None:
            raise OneshotError("this run has no checkpoint yet", where=path, fix="Train it first.")
    else:
        run = Run.of_checkpoint(path)
        step = step_of(path.resolve().name)
        if run is None or step not in run.steps():
            raise OneshotError(
                "neither a run nor one of its checkpoints", where=path, fix="Give a folder that `oneshot train` wrote."
            )
    run.verified_checkpoint(step, "Publish another checkpoint.")
    return Chosen(run, step)


def model_card(one: Chosen) -> str:
    """The README.md of a published model: how it was made, and its scores if the run was evaluated."""
    config, problems = one.run.config, one.run.problems
    what = f"one problem (`{problems[0].id}`)" if len(problems) == 1 else f"{len(problems)} problems"
    folder = one.run.evaluation()
    scores = folder.scores()
    title = f"{Path(config.model.path).name}-{one.run.name}"
    head: dict[str, Any] = {
        "library_name": "transformers",
        "tags": ["oneshot-rlvr", Path(config.recipe).stem],
        **_base_model(config),
    }
    if one.step in scores.checkpoints:
        head["model-index"] = [{"name": title, "results": _results(scores.checkpoints[one.step])}]
    body = CARD.format(
        title=title,
        base=f"`{config.model.path if 'base_model' in head else Path(config.model.path).name}`",
        what=what,
        recipe=config.recipe,
        steps=config.run.steps,
        seed=config.run.seed,
        step=one.step,
        scores=_table(folder, scores, one.step),
        reward=config.algorithm.reward,
        rate=config.optimizer.learning_rate,
        groups=config.batch.groups_per_step,
        size=config.batch.group_size,
        template=config.model.template,
        commit=one.run.environment.get("commit"),
    )
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n{body}"


def _base_model(config: Config) -> dict[str, str]:
    """The hub name of the base, if it has one."""
    path = config.model.path
    return {"base_model": path} if path.count("/") == 1 and not Path(path).exists() else {}


def _table(folder: EvaluationFolder, scores: Scores, step: int) -> str:
    if step not in scores.checkpoints:
        return "It was not evaluated.\n"
    record = folder.protocol()
    protocol = record["protocol"]
    changed = f" (changed: {', '.join(protocol['changed'])})" if protocol["changed"] else ""
    shown = {} if scores.base is None else {scores.name: scores.base}
    shown[step_name(step)] = scores.checkpoints[step]
    lines = [
        f"Accuracy in percent with 95 % intervals; protocol `{protocol['name']}`{changed},",
        f"template `{record['template']}`:",
        "",
        f"| | problems | {' | '.join(shown)} |",
        f"|---|---|{'---|' * len(shown)}",
    ]
    for suite, score in scores.checkpoints[step].all().items():
        cells = []
        for found in shown.values():
            one = found.all()[suite]
            cells.append("{:.1f} ({:.1f} to {:.1f})".format(one.accuracy, *one.interval))
        lines.append(f"| {title_of(suite)}, {score.metric} | {score.n} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _results(scores: ModelScores) -> list[dict[str, Any]]:
    """The scores as the hub's model index has them."""
    return [
        {
            "task": {"type": "text-generation"},
            "dataset": {"name": title_of(suite), "type": suite},
            "metrics": [{"type": score.metric, "value": round(score.accuracy, 2)}],
        }
        for suite, score in scores.suites.items()
    ]


def prepare_upload(one: Chosen, out: Path | None = None) -> Path:
    """A folder with what is published: the checkpoint without the trainer's state, and the card.

    By default `RUN/published/STEP`, made anew each time.

    Raises:
        OneshotError: `out` is given and not empty.
    """
    if out is not None and out.exists() and any(out.iterdir()):
        raise OneshotError("this folder is not empty", where=out, fix="Give another --out.")
    target = out or one.run.path / "published" / one.folder.name

    def fill(folder: Path) -> None:
        left_out = shutil.ignore_patterns("trainer", MANIFEST)
        shutil.copytree(one.folder, folder, ignore=left_out, dirs_exist_ok=True)
        (folder / "README.md").write_text(model_card(one), encoding="utf-8")

    write_folder_atomically(target, fill)
    return target


def push(folder: Path, repository: str, private: bool) -> str:
    """Upload a prepared folder; returns its address.

    Raises:
        OneshotError: the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository, folder_path=str(folder), commit_message="Trained with oneshot-rlvr"
        )
    except Exception as error:  # its transport's errors have no common base that is ours to import
        raise OneshotError(
            f"the hub did not take it: {first_line(error)}",
            where=repository,
            fix="Check the name, the network and `hf auth login`.",
        ) from error
    return str(done)
