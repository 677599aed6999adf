"""Path selectors as Python functions: `oneshot.collect_paths`, `prompt_study`, `compare_selectors`, `close_loop`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oneshot_rlvr.commands.api import Problems, as_problems
from oneshot_rlvr.commands.closing import Closing, run_closed_loop
from oneshot_rlvr.commands.comparing import default_selectors, run_comparison
from oneshot_rlvr.commands.judging import Judging
from oneshot_rlvr.commands.prompting import Strategies, run_strategies
from oneshot_rlvr.commands.session import chosen_problems
from oneshot_rlvr.config import resolve
from oneshot_rlvr.evaluation.protocols import Sampling
from oneshot_rlvr.evaluation.target import named_suites
from oneshot_rlvr.files import locked, write_json
from oneshot_rlvr.problems import Problem, default_suites, find_problems
from oneshot_rlvr.reporting.judging import write_prompts
from oneshot_rlvr.selectors import PathFolder, PathGroup
from oneshot_rlvr.selectors.collect import Collection, collect

Row = dict[str, Any]
ONE_SHOT = "one-shot"  # the problem that the recipe `grpo` trains on


def collect_paths(
    model: str | Path = "organism",
    *,
    problems: Problems | None = None,
    suites: Sequence[str] = (),
    samples: int = 64,
    temperature: float = 1.0,
    hidden: bool = True,
    limit: int | None = None,
    seed: int = 0,
    mode: str = "default",
    out: str | Path = "runs/paths",
    settings: Mapping[str, Any] | Sequence[str] = (),
    heard: Callable[[int, int], object] = lambda done, total: None,
) -> list[PathGroup]:
    """Paths of each problem: sampled, graded, read. Resumable. As `oneshot paths collect`.

    Args:
        model: a run, checkpoint, profile, folder or hub name.
        problems: a named set, a file, or the problems themselves; else the suites.
        suites: test sets, by default the default ones; a guest's name stands for its six.
        samples: paths of each.
        temperature: of the sampling; what is read is read at 1.
        hidden: keep each path's last hidden state.
        limit: only the first problems of each set.
        seed: of the random numbers.
        mode: grading rules.
        out: their folder.
        settings: configuration values.
        heard: called with (problems done, all).

    Raises:
        OneshotError: no such model or set, or the folder holds other paths.
    """
    judging, folder = Judging(str(model), _settings(settings)), PathFolder(out)
    asked = asked_problems(problems, suites, limit)
    most = judging.config.sampling.max_new_tokens
    sampling = Sampling(samples, temperature, greedy=False, max_new_tokens=most, seed=seed)
    collection = Collection(asked, judging.template, sampling, hidden, mode)
    with locked(folder.path, "paths"):
        collect(folder, collection, str(model), judging.config, judging.policy, lambda done: heard(done, len(asked)))
    return folder.groups()


def prompt_study(
    model: str | Path = "organism",
    *,
    problems: Problems | None = None,
    suites: Sequence[str] = (),
    templates: Sequence[str] = (),
    temperatures: Sequence[float] = (0.3, 0.6, 1.0),
    shots: Sequence[int] = (0,),
    examples: str | None = None,
    samples: int = 8,
    limit: int | None = None,
    seed: int = 0,
    out: str | Path = "runs/prompts",
    settings: Mapping[str, Any] | Sequence[str] = (),
    heard: Callable[[int, int], object] = lambda done, total: None,
) -> list[Row]:
    """The same problems, asked in every way: a row a template, temperature and number of solved examples from the
    set `examples`. Resumable; writes `prompts.json` and a page. As `oneshot paths prompts`.

    Raises:
        OneshotError: an unknown template, a number out of range, or too few examples with a solution.
    """
    judging = Judging(str(model), _settings(settings))
    asked = asked_problems(problems, suites, limit)
    ways = Strategies.of(asked, templates or (judging.template.name,), temperatures, shots, examples)
    sampling = Sampling(samples, 1.0, greedy=False, max_new_tokens=judging.config.sampling.max_new_tokens, seed=seed)
    folder = Path(out)
    with locked(folder, "study of prompts"):
        rows = run_strategies(folder, judging, ways, sampling, heard)
        write_json(
            folder / "prompts.json", {"model": str(model), "problems": len(asked), "samples": samples, "rows": rows}
        )
        write_prompts(folder / "prompts.html", rows)
    return rows


def compare_selectors(
    paths: str | Path | Sequence[PathGroup],
    *,
    train: str | Path | Sequence[PathGroup] | None = None,
    selectors: Sequence[str] = (),
    model: str | Path | None = None,
    seeds: int = 3,
    columns: Mapping[str, str] | None = None,
    out: str | Path = "runs/selectors",
    settings: Mapping[str, Any] | Sequence[str] = (),
    heard: Callable[[str], object] = lambda name: None,
) -> dict[str, Row]:
    """Which selectors are believed rightly: the rows of `comparison.json`, written beside a page into `out`.
    As `oneshot selector compare`.

    Args:
        paths: what is judged: groups, a folder of paths, or a file of solutions with answers.
        train: what is learned from; without, each problem is left out in turn.
        selectors: by name; by default all that these paths allow.
        model: who reads paths that nobody has read, and is trained to be a verifier.
        seeds: of the fits, the choice of the one problem, and the blocks.
        columns: what columns of a file are called.
        out: folder of the comparison.
        settings: configuration values.
        heard: called with each selector's name.

    Raises:
        OneshotError: no such selector, too little to learn from, or paths that lack what one reads.
    """
    judging = Judging("" if model is None else str(model), _settings(settings))

    def found(source: str | Path | Sequence[PathGroup] | None) -> list[PathGroup]:
        if source is None:
            return []
        return judging.paths(str(source), columns) if isinstance(source, str | Path) else list(source)

    test, learned = found(paths), found(train)
    names = list(selectors) or default_selectors(test, learned, model is not None)
    with locked(Path(out), "comparison"):
        return run_comparison(Path(out), judging, names, test, learned, seeds, heard)


def close_loop(
    model: str | Path = "organism",
    *,
    labelled: Problems = ONE_SHOT,
    pool: Problems = "organism",
    suites: Sequence[str] = ("organism",),
    selector: str = "hidden",
    steps: int = 100,
    rounds: int = 4,
    paths: int = 64,
    samples: int = 8,
    limit: int | None = None,
    seed: int = 0,
    out: str | Path = "runs/closed",
    settings: Mapping[str, Any] | Sequence[str] = (),
    heard: Callable[[str], object] = lambda line: None,
) -> Row:
    """A selector that knows a few answers teaches the model on problems whose answers nobody looks at: what each way
    gives, beside one-shot GRPO for as many tokens. Resumable; writes `closed.json`. As `oneshot selector loop`.

    Raises:
        OneshotError: the labelled problems are all right or all wrong, or what a run raises.
    """
    known = chosen_problems(resolve("grpo", str(model))[0]) if labelled == ONE_SHOT else asked_problems(labelled)
    answered = {problem.question for problem in known}
    others = [problem for problem in asked_problems(pool) if problem.question not in answered]
    tests = asked_problems(None, suites, limit)
    sizes = {"steps": steps, "rounds": rounds, "paths": paths, "samples": samples, "seed": seed}
    asked = Closing(Path(out), known, others, tests, str(model), selector, settings=_settings(settings), **sizes)
    with locked(Path(out), "closed loop"):
        found = run_closed_loop(asked, heard)
        write_json(Path(out) / "closed.json", found)
    return found


def asked_problems(problems: Problems | None, suites: Sequence[str] = (), limit: int | None = None) -> list[Problem]:
    """A set, or problems as a caller has them; else those of the suites."""
    if isinstance(problems, str | Path):
        return find_problems(str(problems))[:limit]
    if problems is not None:
        return as_problems(problems)[:limit]
    return [p for found in named_suites(suites or default_suites(), limit).values() for p in found]


def _settings(given: Mapping[str, Any] | Sequence[str]) -> Sequence[str]:
    return [f"{key}={value}" for key, value in given.items()] if isinstance(given, Mapping) else list(given)
