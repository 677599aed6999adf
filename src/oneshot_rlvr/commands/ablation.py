"""Compare recipes: train each from several seeds, evaluate what validation chose, keep every problem's rates.

The unit of work is a cell: a recipe on a model from one seed. Its result is a file named by a hash of all that it
depends on, so an interrupted comparison goes on where it stopped, and equal configurations are trained once.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from oneshot_rlvr.algorithms import Algorithm
from oneshot_rlvr.commands import session
from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.config.known import MODEL_FOLDERS
from oneshot_rlvr.config.resolve import exists
from oneshot_rlvr.config.sections import DataSection, SamplingSection
from oneshot_rlvr.config.suites import BASE, Row
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import Checkpoint, Evaluator, Protocol, get_protocol
from oneshot_rlvr.evaluation.checkpoints import checkpoints_of, counting
from oneshot_rlvr.evaluation.protocols import PAPER_SUITES
from oneshot_rlvr.evaluation.scoring import rates_of
from oneshot_rlvr.evaluation.sweep import fitting_processes, without_interrupts
from oneshot_rlvr.evaluation.target import named_suites
from oneshot_rlvr.files import checksum
from oneshot_rlvr.grading.reward_spec import get_reward
from oneshot_rlvr.organism import BETWEEN
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.policy.model import as_the_model_asks
from oneshot_rlvr.problems import Template, default_suites, get_template
from oneshot_rlvr.problems.solutions import demonstration, informed
from oneshot_rlvr.processes import BOUND
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.runs import EvaluationFolder, Run
from oneshot_rlvr.sealing import read_record, write_record
from oneshot_rlvr.training import COLLECTORS

Rates = dict[str, list[float]]  # suite: each problem's share of correct responses
SHARES_NOTHING = ("recipe",)  # of a configuration: what does not change a run
AGAIN = "Delete it and its folder under runs/: the cell is then run again."


@dataclass(frozen=True)
class Asked:
    """What is compared, and how: see `oneshot ablate`."""

    out: Path
    model: str = "organism"
    seeds: int = 3
    steps: int | None = None
    settings: Sequence[str] = ()
    protocol: str = "honest"
    suites: Sequence[str] = ()
    limit: int | None = None
    samples: int | None = None
    workers: int | None = None

    def protocol_of(self, seed: int) -> Protocol:
        """How a cell is evaluated: by samples alone, each training seed with a seed of its own."""
        protocol = get_protocol(self.protocol).changed_by({}, {"samples": self.samples}, self.limit)
        return replace(protocol, seed=seed, sampling=replace(protocol.sampling, greedy=False), base_templates=())


@dataclass(frozen=True)
class Cell:
    """One row from one seed, with its configuration and where its result is kept."""

    row: Row
    seed: int
    config: Config
    sources: Mapping[str, str]
    asked: Asked = field(repr=False)

    @property
    def key(self) -> str:
        """Names everything that the result depends on."""
        values = self.config.model_dump(mode="json", exclude=set(SHARES_NOTHING))
        what = "" if self.row.trains else self.row.recipe
        asked = (repr(self.asked.protocol_of(self.seed)), repr(self.suites))
        return f"{fold(json.dumps(values), what, *asked, *_contents(self.config, self.suites)):016x}"

    @property
    def suites(self) -> tuple[str, ...]:
        """What is evaluated."""
        own = default_suites() if self.config.model.path in MODEL_FOLDERS else PAPER_SUITES
        return tuple(self.row.suites or self.asked.suites or get_protocol(self.asked.protocol).suites or own)

    @property
    def path(self) -> Path:
        """The result's file."""
        return self.asked.out / "cells" / f"{self.key}.json"

    @property
    def run(self) -> Run:
        """Where it is trained."""
        return Run(self.asked.out / "runs" / f"{self.row.name}-seed{self.seed}-{self.key[:6]}")

    @property
    def base(self) -> Cell:
        """The untrained model, asked as this cell's is."""
        row = Row(BASE, BASE, self.row.model, suites=self.row.suites)
        return replace(self, row=row, config=_untrained(self.config, row))

    def result(self) -> dict[str, Any]:
        """What was found.

        Raises:
            OneshotError: the file is damaged.
        """
        return read_record(self.path, AGAIN)


def _contents(config: Config, suites: Iterable[str]) -> list[str]:
    """Of all that a cell names by a path, what is in it."""
    models = (config.model.path, config.critic.path, config.algorithm.teacher)
    named = [name for name in (*models, config.data.problems, config.run.validation, *suites) if name is not None]
    own = [Path(name) for name in named if exists(name)]
    files = [file for path in own for file in ([path] if path.is_file() else sorted(path.rglob("*"))) if file.is_file()]
    return [_content(file, file.stat().st_mtime_ns) for file in files]


@cache
def _content(file: Path, _changed: int) -> str:
    return f"{file.name}:{checksum(file)}"


def _untrained(config: Config, row: Row) -> Config:
    """What of a configuration an untrained model's evaluation depends on."""
    own = config.sampling.model_dump(include={"max_new_tokens", "stop_strings", "stop_ids", "sampler", "kv_cache_gib"})
    data = DataSection() if row.recipe == BASE else config.data
    return Config(model=config.model, sampling=SamplingSection(**own), data=data)


def cells_of(
    rows: Sequence[Row], asked: Asked, seeds: Iterable[int] | None = None
) -> tuple[list[Cell], dict[str, str]]:
    """Every row from every seed (or from these), the base first; and rows that this model cannot have, with the reason.

    Raises:
        OneshotError: a recipe, model or setting that cannot be used, or no row that can; nothing has been trained then.
    """
    found: list[Cell] = []
    reasons: dict[str, str] = {}
    for seed in range(asked.seeds) if seeds is None else seeds:
        for row in rows:
            recipe, model = row.recipe if row.trains else "grpo", row.model or asked.model
            settings = [*(f"{key}={value}" for key, value in row.settings.items()), *asked.settings]
            flags = {"run.seed": seed, "run.steps": asked.steps}
            config, sources = as_the_model_asks(*resolve(recipe, model, settings, flags))
            cell = Cell(row, seed, config if row.trains else _untrained(config, row), sources, asked)
            named_suites(cell.suites, asked.limit)
            try:
                _check(cell)
                found.append(cell)
            except OneshotError as error:
                reasons[row.name] = str(error)
    if reasons and not any(cell.row.recipe != BASE for cell in found):
        raise OneshotError(next(iter(reasons.values())))
    return found, reasons


def _check(cell: Cell) -> None:
    """Refuse a row whose problems, units, teacher or solutions are not there."""
    if cell.row.recipe == BASE:
        return
    section, template = cell.config.algorithm, get_template(cell.config.model.template)
    algorithm = Algorithm.of(section, cell.config.sampling.max_new_tokens)
    collector, problems = COLLECTORS.unit(section.collector), session.chosen_problems(cell.config)
    get_reward(section.reward)
    if "teacher" in algorithm.needs and section.teacher is None:
        raise OneshotError("it needs a teacher", where=cell.row.name, fix="Name one: --set algorithm.teacher=MODEL.")
    for problem in problems:
        if not cell.row.trains or collector.name == "demonstrations":
            demonstration(problem, template)
        elif "informed" in algorithm.needs or collector.name == "hint":
            informed(problem)


def run_cells(cells: Sequence[Cell], heard: Callable[[Cell, int, int], None]) -> dict[str, str]:
    """Run what is missing, in several processes for small models; `heard` of each that is finished, in any order.

    A cell that fails is told of in the result, and the others go on.

    Raises:
        OneshotError: a process was killed.
        Interrupted, KeyboardInterrupt: stopped by the user; what is finished is kept, and training goes on.
    """
    wanted: dict[Path, Cell] = {}
    for cell in (*(cell.base for cell in cells), *cells):
        wanted.setdefault(cell.path, cell)
    for cell in wanted.values():
        if cell.path.exists():
            _let_go(cell, cell.result())
    missing = [cell for cell in wanted.values() if not cell.path.exists()]
    done, failed = len(wanted) - len(missing), dict[str, str]()
    count = fitting_processes([cell.config.model for cell in missing]) if missing else 1
    for cell, error in _in_processes(missing, min(cells[0].asked.workers or count, len(missing))):
        done += 1
        if error is None:
            heard(cell, done, len(wanted))
        else:
            failed[f"{cell.row.name} seed {cell.seed}"] = str(error)
    return failed


def _in_processes(cells: Sequence[Cell], count: int) -> Iterator[tuple[Cell, OneshotError | None]]:
    if count < 2:
        for cell in cells:
            yield cell, _error_of(partial(run_cell, cell))
        return
    left, jobs = list(cells), dict[Future[None], Cell]()
    with ProcessPoolExecutor(count, BOUND) as pool:
        try:
            while left or jobs:
                with without_interrupts():
                    while left and len(jobs) < count:  # none waits in the pool: an interruption begins no other
                        cell = left.pop(0)
                        jobs[pool.submit(run_cell, cell)] = cell
                for job in wait(jobs, return_when=FIRST_COMPLETED).done:
                    yield jobs.pop(job), _error_of(job.result)
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()  # a trainer finishes its step and saves it
            raise


def _error_of(work: Callable[[], None]) -> OneshotError | None:
    """What went wrong in a cell."""
    try:
        work()
    except BrokenProcessPool:
        raise OneshotError("a process was killed", where="oneshot ablate", fix="Out of memory? --workers 1.") from None
    except OneshotError as error:
        return error
    return None


def run_cell(cell: Cell) -> None:
    """Train and evaluate one cell and keep its result."""
    started = time.time()
    with contextlib.redirect_stdout(io.StringIO()):
        found = _trained(cell) if cell.row.trains else {"rates": _rates(cell, _base_of(cell), cell.seed), "step": 0}
    kept = {"recipe": cell.row.recipe, "seed": cell.seed, "seconds": round(time.time() - started, 1), **found}
    cell.path.parent.mkdir(parents=True, exist_ok=True)
    write_record(cell.path, kept)
    _let_go(cell, kept)


def _let_go(cell: Cell, kept: Mapping[str, Any]) -> None:
    """Of a run with a result, all checkpoints but the two that were evaluated; without one it is gone on with."""
    if cell.row.trains:
        cell.run.keep_checkpoints({kept["step"], kept["last_step"]})


def _base_of(cell: Cell) -> Checkpoint:
    return Checkpoint(BASE, 0, cell.config.model)


def _trained(cell: Cell) -> dict[str, Any]:
    run = cell.run
    session.finish(run, cell.config, cell.sources, session.chosen_problems(cell.config))
    checkpoints = checkpoints_of(run, base=False)
    chosen, last = counting(run, checkpoints), checkpoints[-1]
    return {
        "rates": _rates(cell, chosen, cell.seed),
        "last": _rates(cell, last, cell.seed),
        "step": chosen.step,
        "last_step": last.step,
        "stopped": run.stopped,
        "validation": [[m["step"], v] for m in run.metrics() for k, v in m.items() if k.startswith("validation/")],
        "training": [round(metrics["outcome/correct"], 4) for metrics in run.metrics()],
        "entropy": [round(metrics["policy/entropy"], 4) for metrics in run.metrics()],
    }


def _rates(cell: Cell, checkpoint: Checkpoint, seed: int) -> Rates:
    template, protocol = _template(cell), cell.asked.protocol_of(seed)
    evaluator = Evaluator(
        suites=named_suites(cell.suites, cell.asked.limit),
        template=template,
        protocol=replace(protocol, max_new_tokens=protocol.max_new_tokens or cell.config.sampling.max_new_tokens),
        folder=EvaluationFolder(cell.asked.out / "eval"),
        config=cell.config,
    )
    evaluator.sample(checkpoint.content_hash, lambda: load_policy(checkpoint.section), template)
    with evaluator.grader(template) as grader:
        rows = evaluator.rows(checkpoint.content_hash, grader, template)
    return {suite: rates_of(found) for suite, found in rows.items()}


def _template(cell: Cell) -> Template:
    """The configured template, for `in-context` with the example and its solution before the question."""
    template = get_template(get_protocol(cell.asked.protocol).template or cell.config.model.template)
    if cell.row.trains or cell.row.recipe == BASE:
        return template
    shots = tuple((p.question, demonstration(p, template)) for p in session.chosen_problems(cell.config))
    between = BETWEEN if cell.config.model.path in MODEL_FOLDERS else template.between
    return replace(template, shots=shots, between=between)
