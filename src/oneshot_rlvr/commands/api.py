"""The command's work as Python functions: training, evaluation, report, selection. docs/api.md has examples; path
selectors are in `judging_api.py`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oneshot_rlvr.analysis import Finding
from oneshot_rlvr.analysis import diagnose as examine_run
from oneshot_rlvr.commands import session
from oneshot_rlvr.commands.choosing import candidates_of
from oneshot_rlvr.commands.terminal import plain
from oneshot_rlvr.commands.train import new_folder
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import get_protocol
from oneshot_rlvr.evaluation.publish import write_lm_eval
from oneshot_rlvr.evaluation.target import Options, evaluate_target
from oneshot_rlvr.grading import of_function
from oneshot_rlvr.grading.features import REFLECTION_WORDS
from oneshot_rlvr.grading.reward_spec import name_of
from oneshot_rlvr.grading.rewards import Rewards
from oneshot_rlvr.policy.model import as_the_model_asks
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.problems.loaders import from_rows
from oneshot_rlvr.reporting import write_report
from oneshot_rlvr.runs import Run, Scores
from oneshot_rlvr.selection import Ranked, rank
from oneshot_rlvr.training.loop import OnStep

Problems = str | Path | Sequence[Problem | tuple[str, str] | Mapping[str, Any]]


def train(
    recipe: str = "grpo",
    *,
    model: str | Path = "organism",
    problems: Problems | None = None,
    reward: str | Callable[..., Rewards] | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    on_step: OnStep | None = None,
) -> Run:
    """Train a model with a recipe; returns the run, finished. As `oneshot train`.

    Args:
        recipe: a recipe's name, or a YAML file.
        model: a profile's name, a Hugging Face folder or name.
        problems: a named set, a file, or the problems themselves: `Problem`s, (question, answer) pairs, or mappings
            with at least `question` and `answer`. By default the model profile's.
        reward: a reward's name, a weighted sum, `module:function`, or a function `(problem, responses) -> rewards`.
        out: the run folder; by default a new one under `runs/`. An unfinished run of the same configuration goes on.
        settings: configuration values by dotted key, as `--set` has them: `{"run.steps": 50}`.
        on_step: called with (step, steps, metrics) after every step.

    What the doctor finds on the way is a warning.

    Raises:
        OneshotError: something that is asked for cannot be used; nothing has been trained then.
    """
    own = problems if isinstance(problems, str | Path) or problems is None else as_problems(problems)
    function = of_function(reward) if callable(reward) else None
    named = reward if isinstance(reward, str) or reward is None else name_of(reward)
    flags = {
        "data.problems": str(own) if isinstance(own, str | Path) else "given in Python" if own else None,
        "algorithm.reward": named,
    }
    config, sources = as_the_model_asks(*resolve(recipe, str(model), settings or {}, flags))
    chosen = session.only(own, config) if isinstance(own, list) else session.chosen_problems(config)
    run = Run(out or new_folder(recipe, str(model)))
    session.finish(run, config, sources, chosen, session.watched(run, _warn, on_step), function)
    return run


def _warn(text: str) -> None:
    """A warning without the control characters that a model may have put into an answer."""
    warnings.warn(plain(text).plain, stacklevel=2)


def as_problems(given: Sequence[Problem | tuple[str, str] | Mapping[str, Any]]) -> list[Problem]:
    """Problems from what a caller has; those without an id are numbered.

    Raises:
        OneshotError: one without question or answer, or two of the same id.
    """
    rows = []
    for number, item in enumerate(given, 1):
        if isinstance(item, Problem):
            row: Any = {key: value for key, value in vars(item).items() if value is not None}
        elif isinstance(item, tuple) and len(item) == 2:
            row = {"question": item[0], "answer": item[1]}
        elif isinstance(item, Mapping):
            row = dict(item)
        else:
            raise OneshotError(
                f"{item!r} is no problem",
                where=f"problems, item {number}",
                fix="Give (question, answer) pairs, mappings with `question` and `answer`, or Problems.",
            )
        rows.append((number, row))
    return from_rows(rows, "problems", "given")


def evaluate(
    target: Run | str | Path,
    *,
    protocol: str = "honest",
    suites: str | Path | Sequence[str | Path] = (),
    limit: int | None = None,
    samples: int | None = None,
    temperature: float | None = None,
    max_new_tokens: int | None = None,
    template: str | None = None,
    mode: str | None = None,
    fallback: bool | None = None,
    words: str | Sequence[str] = REFLECTION_WORDS,
    settings: Mapping[str, Any] | Sequence[str] = (),
    every: int = 1,
    out: str | Path | None = None,
    workers: int | str | None = None,
) -> Scores:
    """Scores of a run's base and checkpoints, or of a model; resumable. As `oneshot eval`.

    Args:
        target: a run, or what `oneshot eval` takes: a run folder, checkpoint, model folder, profile or hub name.
        protocol: how to ask, sample and grade.
        suites: what to ask; by default the protocol's suites.
        limit: only the first problems of each suite.
        samples: k of avg@k, instead of the protocol's.
        temperature: of the samples, instead of the protocol's.
        max_new_tokens: of a response, instead of the protocol's or the model's.
        template: of the prompt, instead of the protocol's or the model's.
        mode: the grading rules, instead of the protocol's.
        fallback: whether, without a box, what "the answer is" or the last number is taken.
        words: reflection words to count.
        settings: of a model, not of a run: configuration values by key, or `key=value` texts.
        every: of a run, every k-th checkpoint and the last.
        out: where scores and transcripts go; by default into the run, or under `runs/`.
        workers: sampling processes, by default one a core for small models; or a Ray cluster's address, or `local`.

    Raises:
        OneshotError: no such model, run, protocol or suite.
    """
    sampling = {"samples": samples, "temperature": temperature}
    changes = {"mode": mode, "template": template, "max_new_tokens": max_new_tokens, "fallback": fallback}
    asked = get_protocol(protocol).changed_by(changes, sampling, limit)
    path = target.path if isinstance(target, Run) else target
    options = Options(_each(suites), Path(out) if out else None, every, limit, settings, workers, _each(words))
    result = evaluate_target(str(path), asked, options)
    write_lm_eval(result.folder)
    return result.scores


def _each(names: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """One name is meant whole, not letter by letter."""
    return (str(names),) if isinstance(names, str | Path) else tuple(map(str, names))


def report(
    runs: Sequence[Run | str | Path],
    *,
    out: str | Path | None = None,
    protocol: str | None = None,
    selectors: Sequence[str | Path] = (),
) -> Path:
    """Write one self-contained HTML page about runs, the first of which is its subject; returns its path.

    Args:
        runs: runs or their folders.
        out: by default `report.html` in the first run.
        protocol: which evaluation; by default the honest one, else the newest.
        selectors: folders of path selectors' results, for the findings and the talk.

    Raises:
        OneshotError: a folder that is no run, or has no finished step.
    """
    paths = [run.path if isinstance(run, Run) else Path(run) for run in runs]
    if not paths:
        raise OneshotError("no run to report on", fix="Give one at least.")
    page = Path(out) if out else paths[0] / "report.html"
    folders = [Path(folder) for folder in selectors]
    return write_report(paths, page, f"Run {paths[0].resolve().name}", protocol=protocol, selectors=folders)


def diagnose(run: Run | str | Path) -> list[Finding]:
    """What is wrong with a run, the likeliest cause first; empty where nothing is. As `oneshot doctor`.

    Raises:
        OneshotError: no run in this folder, or a damaged one.
    """
    return examine_run(run if isinstance(run, Run) else Run.at(run))


def select(
    pool: Run | str | Path | None = None, *, history: Run | str | Path | None = None, by: str = "std"
) -> list[Ranked]:
    """Problems in the order of a selector, by default the standard deviation of their training accuracy: pi_1 first.
    As `oneshot select`.

    Args:
        pool: a problem file or a named set; or what `history` may be, alone.
        history: a run on the pool, its folder, verl's rollout dumps, or a JSON accuracy history.
        by: a selector, in the grammar of units (docs/methods.md).

    Raises:
        OneshotError: neither is given or can be read, they do not fit each other, or no such selector.
    """
    named, seen = (source.path if isinstance(source, Run) else source for source in (pool, history))
    return rank(candidates_of(None if named is None else str(named), seen), by)
