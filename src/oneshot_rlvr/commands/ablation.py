"""Compare recipes: train each from several seeds, evaluate what validation chose, keep every problem's rates.

The unit of work is a cell: a recipe on a model from one seed. Its result is a file named by a hash of all that it
depends on, so an interrupted comparison goes on where it stopped, and equal configurations are trained once.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from oneshot_rlvr.commands import session
from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.config.known import MODEL_FOLDERS
from oneshot_rlvr.config.sections import DataSection, SamplingSection
from oneshot_rlvr.config.suites import BASE, Row
from oneshot_rlvr.evaluation import Checkpoint, Evaluator, Protocol, get_protocol
from oneshot_rlvr.evaluation.checkpoints import checkpoints_of, counting
from oneshot_rlvr.evaluation.scoring import rates_of
from oneshot_rlvr.evaluation.sweep import fitting_processes, without_interrupts
from oneshot_rlvr.evaluation.target import named_suites
from oneshot_rlvr.organism import BETWEEN
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.policy.model import as_the_model_asks
from oneshot_rlvr.problems import Template, default_suites, get_template
from oneshot_rlvr.problems.solutions import demonstration
from oneshot_rlvr.processes import die_with_parent
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.runs import EvaluationFolder, Run
from oneshot_rlvr.sealing import read_record, write_record

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
        return f"{fold(json.dumps(values), what, repr(self.asked.protocol_of(self.seed)), repr(self.suites)):016x}"

    @property
    def suites(self) -> tuple[str, ...]:
        """What is evaluated."""
        named = self.row.suites or self.asked.suites or get_protocol(self.asked.protocol).suites or default_suites()
        return tuple(named)

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


def _untrained(config: Config, row: Row) -> Config:
    """What of a configuration an untrained model's evaluation depends on."""
    own = config.sampling.model_dump(include={"max_new_tokens", "stop_strings", "stop_ids", "sampler", "kv_cache_gib"})
    data = DataSection() if row.recipe == BASE else config.data
    return Config(model=config.model, sampling=SamplingSection(**own), data=data)


def cells_of(rows: Sequence[Row], asked: Asked) -> list[Cell]:
    """Every row from every seed; the base first.

    Raises:
        OneshotError: a recipe, model or setting that cannot be used; nothing has been trained then.
    """
    found = []
    for seed in range(asked.seeds):
        for row in rows:
            recipe, model = row.recipe if row.trains else "grpo", row.model or asked.model
            settings = [*(f"{key}={value}" for key, value in row.settings.items()), *asked.settings]
            flags = {"run.seed": seed, "run.steps": asked.steps}
            config, sources = as_the_model_asks(*resolve(recipe, model, settings, flags))
            cell = Cell(row, seed, config if row.trains else _untrained(config, row), sources, asked)
            named_suites(cell.suites, asked.limit)
            found.append(cell)
    return found


def run_cells(cells: Sequence[Cell], heard: Callable[[Cell, int, int], None]) -> None:
    """Run what is missing, in several processes for small models; `heard` of each that is finished, in any order.

    Raises:
        OneshotError: what a cell ran into.
        Interrupted: stopped by the user; what is finished is kept, and training goes on from its checkpoints.
    """
    wanted = [*(cell.base for cell in cells), *cells]
    missing = list({cell.path: cell for cell in wanted if not cell.path.exists()}.values())
    total, done = len({cell.path for cell in wanted}), 0
    done = total - len(missing)
    count = fitting_processes([cell.config.model for cell in missing]) if missing else 1
    for cell in _in_processes(missing, min(cells[0].asked.workers or count, len(missing))):
        done += 1
        heard(cell, done, total)


def _in_processes(cells: Sequence[Cell], count: int) -> Iterator[Cell]:
    if count < 2:
        for cell in cells:
            run_cell(cell)
            yield cell
        return
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), die_with_parent, (os.getpid(),)) as pool:
        with without_interrupts():
            jobs = {pool.submit(run_cell, cell): cell for cell in cells}
        try:
            for job in as_completed(jobs):
                job.result()
                yield jobs[job]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()  # a trainer finishes its step and saves it
            raise


def run_cell(cell: Cell) -> None:
    """Train and evaluate one cell and keep its result."""
    started = time.time()
    with contextlib.redirect_stdout(io.StringIO()):
        found = _trained(cell) if cell.row.trains else {"rates": _rates(cell, _base_of(cell), cell.seed), "step": 0}
    kept = {"recipe": cell.row.recipe, "seed": cell.seed, "seconds": round(time.time() - started, 1), **found}
    cell.path.parent.mkdir(parents=True, exist_ok=True)
    write_record(cell.path, kept)
    if cell.row.trains:  # only now: without a result the run is gone on with
        cell.run.keep_checkpoints({found["step"], found["last_step"]})


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
    template = _template(cell)
    evaluator = Evaluator(
        suites=named_suites(cell.suites, cell.asked.limit),
        template=template,
        protocol=replace(cell.asked.protocol_of(seed), max_new_tokens=cell.config.sampling.max_new_tokens),
        folder=EvaluationFolder(cell.asked.out / "eval"),
        config=cell.config,
    )
    evaluator.sample(checkpoint.content_hash, lambda: load_policy(checkpoint.section), template)
    with evaluator.grader(template) as grader:
        rows = evaluator.rows(checkpoint.content_hash, grader, template)
    return {suite: rates_of(found) for suite, found in rows.items()}


def _template(cell: Cell) -> Template:
    """The configured template, for `in-context` with the example and its solution before the question."""
    template = get_template(cell.config.model.template)
    if cell.row.trains or cell.row.recipe == BASE:
        return template
    shots = tuple((p.question, demonstration(p, template)) for p in session.chosen_problems(cell.config))
    between = {"between": BETWEEN} if cell.config.model.path in MODEL_FOLDERS else {}
    return replace(template, shots=shots, **between)
