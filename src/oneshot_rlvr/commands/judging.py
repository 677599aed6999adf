"""What the commands of path selectors work with: a model by name, its paths, a reader, and a learner of verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from oneshot_rlvr.commands import session
from oneshot_rlvr.config import Config, ModelSection, resolve
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.config.resolve import build, flatten
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.checkpoints import Checkpoint
from oneshot_rlvr.evaluation.target import config_of_model
from oneshot_rlvr.files import checksum_of, write_atomically
from oneshot_rlvr.grading import Grader
from oneshot_rlvr.grading.pool import standing_pool
from oneshot_rlvr.policy import Policy, load_policy
from oneshot_rlvr.policy.model import load_tokenizer, places_of
from oneshot_rlvr.problems import Problem, Template, encode_prompt, get_template, to_jsonl
from oneshot_rlvr.runs import Run
from oneshot_rlvr.selectors import Learner, PathFolder, PathGroup, Training
from oneshot_rlvr.selectors.grading import graded
from oneshot_rlvr.selectors.measure import Reader
from oneshot_rlvr.selectors.paths import read_solutions
from oneshot_rlvr.selectors.verdicts import verdict_template

GROUPS = 32  # of verdicts a step: each is one token long
PROMPT = 4096  # tokens of a verdict's prompt at most, where the model has room


@dataclass(frozen=True)
class Judging:
    """A model (a run stands for the checkpoint that counts) with the settings that were given."""

    model: str
    settings: Sequence[str] = ()

    @cached_property
    def config(self) -> Config:
        """How the model is configured.

        Raises:
            OneshotError: no such model, or a run without a checkpoint.
        """
        run = Run(self.model)
        if not run.started:
            return config_of_model(self.model, self.settings)
        step = run.chosen_step()
        if step is None:
            raise OneshotError("this run has no checkpoint yet", where=self.model, fix="Train it further.")
        return config_of_model(str(run.checkpoint_path(step)), self.settings)

    @property
    def template(self) -> Template:
        """How it is asked."""
        return get_template(self.config.model.template)

    def policy(self) -> Policy:
        """The model."""
        return load_policy(self.config.model, self.config.speed.shared_prefix)

    def paths(self, source: str, columns: Mapping[str, str] | None = None) -> list[PathGroup]:
        """Collected paths, or anyone's solutions in a file: these are graded, and read by the model if it is given.

        Raises:
            OneshotError: neither, malformed, or collected paths that another model has read.
        """
        if (Path(source) / "paths.json").exists():
            folder = PathFolder(source)
            if self.model:
                self._refuse_others(folder)
            return folder.groups()
        if not Path(source).is_file():
            raise OneshotError("no paths are there", where=source, fix="Collect some with `oneshot paths collect`.")
        template = self.template if self.model else None
        groups = read_solutions(Path(source), columns)
        with Grader(template, fallback=True, workers=standing_pool()) as grader:
            groups = graded(groups, grader)
        if not self.model:
            return groups
        reader = self.reader()
        return [reader.measured(group) for group in groups]

    def _refuse_others(self, folder: PathFolder) -> None:
        record = folder.record
        same = record["weights"] == checksum_of(Checkpoint("", 0, self.config.model).content_hash)
        if not same or record["template"] != self.template.name:
            raise OneshotError(
                f"its paths were read by {record['model']} asked with template {record['template']}",
                where=folder.path,
                fix="Give that model (--set model.template=...), or collect paths with this one.",
            )

    def reader(self) -> Reader:
        """Reads paths."""
        return Reader(self.policy(), self.template)

    def learner(self, out: Path) -> Learner:
        """Trains verifiers from this model; their runs are kept in `out`, and gone on with."""
        tokenizer = load_tokenizer(model_folder(self.config.model.path), self.config.model.trust_remote_code)
        template = get_template(verdict_template(self.config.model.template))
        places = _places(self.config)

        def train(name: str, problems: Sequence[Problem], settings: Mapping[str, Any]) -> ModelSection:
            run, config = Run(out / name), self.verdict_config(out / f"{name}.jsonl", settings)
            write_atomically(out / f"{name}.jsonl", to_jsonl(problems))
            session.finish(run, config, dict.fromkeys(flatten(config.model_dump()), "a verifier's"), problems)
            return config.model.of_weights(run.checkpoint_path(run.steps()[-1]))

        def fits(question: str) -> bool:
            return len(encode_prompt(template, question, tokenizer)) < places

        return Learner(train, self.config.model.template, self.config.optimizer.learning_rate, fits)

    def verdict_config(self, file: Path, settings: Mapping[str, Any]) -> Config:
        """GRPO on verdicts, whatever the model was trained with: answered by one token, kept at the end alone."""
        grpo = flatten({"algorithm": resolve("grpo", "tiny")[0].algorithm.model_dump()})
        own = {
            "data.problems": str(file),
            "data.only": (),
            "model.template": verdict_template(self.config.model.template),
            "sampling.max_new_tokens": 1,
            "sampling.max_prompt_tokens": _places(self.config),
            "batch.groups_per_step": GROUPS,
            "run.validate_every": 0,
            "run.stop_when": type(self.config.run)().stop_when,
            "run.save_every": int(settings.get("run.steps", 100)),
        }
        flat = flatten(self.config.model_dump()) | grpo | own | dict(settings)
        return build(flat, dict.fromkeys(flat, "a verifier's settings"))


def _places(config: Config) -> int:
    """How many tokens a verdict's prompt may have: the model's places but one, and `PROMPT` at most."""
    return min(PROMPT, places_of(config.model) or PROMPT) - 1


def trainings(
    groups: Sequence[PathGroup], seeds: Sequence[int], judging: Judging | None = None, out: Path | None = None
) -> list[Training]:
    """One training a seed, with a learner where a model is given."""
    learner = judging.learner(out / "verifiers") if judging is not None and judging.model and out is not None else None
    return [Training(groups, seed, learner) for seed in seeds]
