"""Path selectors as Python functions: `oneshot.collect_paths`, `prompt_study`, `compare_selectors`, `close_loop`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oneshot_rlvr.commands.api import Problems, as_problems
from oneshot_rlvr.commands.closing import Closing, run_closed_loop
from oneshot_rlvr.commands.comparing import default_selectors, run_comparison
from oneshot_rlvr.commands.judging import Judging, trainings
from oneshot_rlvr.commands.prompting import Strategies, run_strategies
from oneshot_rlvr.commands.session import chosen_problems
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.target import named_suites
from oneshot_rlvr.files import locked, write_json
from oneshot_rlvr.problems import Problem, default_suites, find_problems
from oneshot_rlvr.reporting.judging import write_prompts
from oneshot_rlvr.selectors import SELECTORS, PathFolder, PathGroup
from oneshot_rlvr.selectors.collect import Collection, collect, sampling_of
from oneshot_rlvr.selectors.grading import known
from oneshot_rlvr.selectors.saved import Saved
from oneshot_rlvr.selectors.teaching import taught

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
    sampling = sampling_of(judging.config, samples, temperature, seed)
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
    sampling = sampling_of(judging.config, samples, 1.0, seed)
    folder = Path(out)
    with locked(folder, "study of prompts"):
        rows = run_strategies(folder, judging, ways, sampling, heard)
        write_json(
            folder / "prompts.json", {"model": str(model), "problems": len(asked), "samples": samples, "rows": rows}
        )
        write_prompts(folder / "prompts.html", rows)
    return rows


def train_selector(
    selector: str,
    paths: str | Path,
    *,
    model: str | Path | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    out: str | Path = "runs/selector",
    settings: Mapping[str, Any] | Sequence[str] = (),
) -> Row:
    """Fit a selector on graded paths and keep it in `out`; returns what it has seen. As `oneshot selector train`.

    Args:
        selector: by name, with options: "probe(shots=1)".
        paths: a folder of paths, or a file of solutions with answers.
        model: who reads the paths of a file, and is trained to be a verifier; of a folder, by default who collected it.
        seed: of the fit, and of the choice of the one problem.
        columns: what columns of a file are called.
        out: folder of the selector.
        settings: configuration values.

    Raises:
        OneshotError: no such selector, too little to learn from, or paths that lack what it reads.
    """
    folder = PathFolder(paths)
    collected = (folder.path / "paths.json").exists()
    settings = _settings(settings)
    if model is None and collected:
        model = folder.record["model"]
        settings = [f"model.template={folder.record['template']}", *settings]
    judging = Judging("" if model is None else str(model), settings)
    groups = known(judging.paths(str(paths), columns))
    SELECTORS.unit(selector)
    (training,) = trainings(groups, [seed], judging, Path(out))
    fitted, calibration = taught(selector, training)
    mixed = sum(group.mixed for group in groups)
    about = {"paths": str(paths), "problems": len(groups), "mixed": mixed, "seed": seed}
    reader = judging.config.model if judging.model else None
    Saved(selector, fitted, calibration, reader, judging.template.name if reader else "", about).write(Path(out))
    return about


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

    test, learned = known(found(paths)), found(train)
    learned = known(learned) if learned else []
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
    taken = chosen_problems(resolve("grpo", str(model))[0]) if labelled == ONE_SHOT else asked_problems(labelled)
    tests = asked_problems(None, suites, limit)
    used = {problem.question for problem in (*taken, *tests)}
    others = [problem for problem in asked_problems(pool) if problem.question not in used]
    tests = [problem for problem in tests if problem.question not in {one.question for one in taken}]
    if not others or not tests:
        raise OneshotError("nothing is left beside the labelled problems", where="--pool", fix="Give other problems.")
    sizes = {"steps": steps, "rounds": rounds, "paths": paths, "samples": samples, "seed": seed}
    asked = Closing(Path(out), taken, others, tests, str(model), selector, settings=_settings(settings), **sizes)
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
