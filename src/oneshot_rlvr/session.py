"""Start a run folder or come back to one: what `oneshot train` does around the loop."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import Sampling, make_validator
from oneshot_rlvr.evaluation.checkpoints import run_config
from oneshot_rlvr.grading.audit import audit_golds, summary
from oneshot_rlvr.problems import Problem, find_problems, get_template, load_problems, to_jsonl
from oneshot_rlvr.rundir import RunDir, read_json, write_atomically
from oneshot_rlvr.train import Metrics, prepare, train

OnStep = Callable[[int, int, Metrics], None]
PROBLEMS = "problems.jsonl"


def chosen_problems(config: Config) -> list[Problem]:
    """The configured problems.

    Raises:
        OneshotError: an unusable file, or an id that is not in it.
    """
    problems = find_problems(config.data.problems, config.data.skip_bad_rows)
    if not config.data.only:
        return problems
    known = {problem.id: problem for problem in problems}
    for wanted in config.data.only:
        if wanted not in known:
            raise OneshotError(
                f"no problem {wanted!r} in it", where=config.data.problems, fix="`oneshot problems` lists ids."
            )
    return [known[wanted] for wanted in config.data.only]


def one_problem(question: str | None, answer: str | None, file: str | None) -> list[Problem] | None:
    """The user's own problem from the command line; None when there is none.

    Raises:
        OneshotError: only one of the two is given, or a problem file besides.
    """
    if question is None and answer is None:
        return None
    if question is None or answer is None or not question.strip() or not answer.strip():
        raise OneshotError(
            "--question and --answer go together and are not empty", fix="Give both, or --problems FILE."
        )
    if file is not None:
        raise OneshotError("--problems and --question were both given", fix="Give one of them.")
    return [Problem(id="mine", question=question, answer=answer, source="command line")]


def start(
    run: RunDir, config: Config, sources: Mapping[str, str], problems: Sequence[Problem], on_step: OnStep | None = None
) -> None:
    """Begin a run in an empty folder and train it to its end.

    Everything that can be wrong is found before the folder says that a run has started.

    Raises:
        OneshotError: the folder holds a run already or is in use, or something in the configuration cannot be used.
        Interrupted: stopped by the user; `resume` goes on.
    """
    existed = run.path.exists()
    if run.started:
        raise OneshotError(
            "this folder holds a run already",
            where=run.path,
            fix=f"Go on with --resume {run.path}, or give another --out.",
        )
    with run.locked():
        try:
            trainer = prepare(config, run, problems)
            validate = _validator(config)
        except BaseException:  # whatever it was, a run that never began leaves no folder
            if not existed:
                _remove_empty(run)
            raise
        if trainer.policy.why_plain:
            print(f"Prompts are not shared in the forward pass (slower, same result): {trainer.policy.why_plain}")
        write_atomically(run.path / PROBLEMS, to_jsonl(problems))
        for line in summary(audit_golds(problems, config.grading.timeout), len(problems)):
            print(f"Note: {line}")
        run.write_json("environment.json", environment(str(trainer.policy.device)))
        write_config(run, config, sources)
        train(trainer, validate, on_step)


def resume(run: RunDir, steps: int | None = None, on_step: OnStep | None = None) -> None:
    """Go on with a run from its newest checkpoint, to `steps` if given.

    Raises:
        OneshotError: no run there, a damaged checkpoint, or a folder in use.
        Interrupted: stopped by the user again.
    """
    config, sources = run_config(run), read_json(run.path / "config.json")["sources"]
    with run.locked():
        if steps is not None and steps != config.run.steps:
            config = config.model_copy(update={"run": config.run.model_copy(update={"steps": steps})})
            write_config(run, config, {**sources, "run.steps": "--resume"})
        trainer = prepare(config, run, load_problems(run.path / PROBLEMS))
        train(trainer, _validator(config), on_step)


def _validator(config: Config) -> Callable[..., Metrics] | None:
    if not config.run.validation or not config.run.validate_every:
        return None
    sampling = Sampling(
        samples=config.run.validation_samples, max_new_tokens=config.sampling.max_new_tokens, greedy=False
    )
    problems, template = find_problems(config.run.validation), get_template(config.model.template)
    return make_validator(problems, template, sampling, config.sampling.kv_cache_gib, config.grading.mode)


def write_config(run: RunDir, config: Config, sources: Mapping[str, str]) -> None:
    """The resolved configuration, and where each value came from."""
    run.write_json("config.json", {"values": config.model_dump(mode="json"), "sources": dict(sources)})


def _remove_empty(run: RunDir) -> None:
    """Take back the folders of a run that never began."""
    (run.path / ".lock").unlink(missing_ok=True)
    for folder in (*run.path.iterdir(), run.path):
        folder.rmdir()


def environment(device: str) -> dict[str, Any]:
    """What a result may depend on besides the configuration."""
    packages = ("oneshot-rlvr", "torch", "transformers", "tokenizers", "safetensors", "math-verify", "numpy")
    return {
        "command": " ".join(sys.argv),
        "commit": commit(),
        "device": device,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in packages},
    }


def commit() -> str | None:
    """The commit of this package's source, if it runs from a git checkout; "+" marks uncommitted changes."""
    here = Path(__file__).parent
    try:
        git = ["git", "-C", str(here)]
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
