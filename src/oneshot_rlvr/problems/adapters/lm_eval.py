"""lm-evaluation-harness's tasks: `lm:gsm8k?size=50`, zero-shot, their prompt as the question, their filter and metric.

Only tasks whose answer is generated: others ask for likelihoods of given answers, which a sampler does not give. A file
of ONESHOT_DATA called as the task's data set (`gsm8k.jsonl` for `openai/gsm8k`) is taken in place of the hub's for the
split that is tested on; another split's is called so too, with that split's name (`gsm8k_train.jsonl`).
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError, first_line, nearest
from oneshot_rlvr.problems.adapters import SCORED, Opinion, task_and_options, whole
from oneshot_rlvr.problems.known import named_sets
from oneshot_rlvr.problems.problem import Problem

OPTIONS = ("size", "split", "filter", "metric")
SPLITS = ("test", "validation", "training")
_NAMED = re.compile(r"(?m)^task:[ \t]*[\"']?([^\s\"'#\[{]+)")
READERS = {".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}  # ours -> `datasets`' name for it


class HarnessSet:
    """The documents of one task, with one of its filters and one of its metrics."""

    def __init__(self, name: str, task: Any, documents: Sequence[Any], filters: Any, metric: str | None) -> None:
        self.name, self._task, self._documents, self._filters, self._metric = name, task, documents, filters, metric

    def __len__(self) -> int:
        return len(self._documents)

    def problem(self, index: int) -> Problem:
        """The problem at a place: the task's description and its question, as the library asks without examples."""
        document = self._documents[index]
        gold = self._task.doc_to_target(document)
        task = self._task.config.task
        return Problem(
            id=f"{task}-{index}",
            question=self._asked(document).strip(),
            answer=str(gold).strip() or "(whatever its metric accepts)",
            source=f"lm:{task}",
            extra={SCORED: {"set": self.name, "index": index}},
        )

    def _asked(self, document: Any) -> str:
        return str(self._task.fewshot_context(document, 0))

    def score(self, index: int, text: str, answer: str | None) -> Opinion:
        """The metric of a response cut at the task's stop strings. One on which the library fails has 0."""
        try:
            return self._score(self._documents[index], text)
        except Exception:  # the library's own, on a model's text
            return Opinion(0.0)

    def check(self) -> None:
        """Score the first document's own target."""
        self._score(self._documents[0], str(self._task.doc_to_target(self._documents[0])))

    def _score(self, document: Any, text: str) -> Opinion:
        from lm_eval.api.instance import Instance

        asked = Instance("generate_until", document, (self._asked(document), {}), 0)
        asked.resps = [_until(text, (self._task.config.generation_kwargs or {}).get("until"))]
        self._filters.apply([asked])
        read = asked.filtered_resps[self._filters.name]
        found = self._task.process_results(document, [read])
        metric = self._metric or next(iter(found))
        return Opinion.of(float(found[metric]), read if isinstance(read, str) else None)


def open_set(name: str) -> HarnessSet:
    """The set that a name describes.

    Raises:
        OneshotError: no such task, option, split, filter or metric; a task that is not generated, or runs what a model
            writes; data that cannot be had.
    """
    task_name, options = task_and_options(name)
    if unknown := [key for key in options if key not in OPTIONS]:
        raise OneshotError(f"no option {unknown[0]!r}", where=name, fix=f"There are {', '.join(OPTIONS)}.")
    if task_name not in _files():
        raise OneshotError(f"lm-eval has no task {task_name!r}", where=name, fix=nearest(task_name, sorted(_files())))
    try:
        task = _loaded(task_name, os.environ.get("ONESHOT_DATA"))
    except Exception as error:  # the library's own: no network, a package it wants, a damaged file
        fix = "Let ONESHOT_DATA name a folder with its data, called as the data set is, as .jsonl, .csv or .parquet."
        raise OneshotError(f"cannot load {task_name}: {first_line(error)}", where=name, fix=fix) from error
    if task.OUTPUT_TYPE != "generate_until":
        raise OneshotError(
            f"{task_name} asks for {task.OUTPUT_TYPE}, which a sampler does not give",
            where=name,
            fix="Name a task whose output_type is generate_until.",
        )
    if getattr(task, "UNSAFE_CODE", False):
        raise OneshotError(f"{task_name} runs the code that a model writes", where=name, fix="Name another task.")
    documents = _documents(task, options.get("split"), name)
    size = whole(name, "size", options.get("size", len(documents)), 1)
    filters = {each.name: each for each in task._filters}
    chosen = options.get("filter", next(iter(filters)))
    metrics = [row["metric"] for row in task.config.metric_list or [] if isinstance(row.get("metric"), str)]
    metric = options.get("metric", metrics[0] if len(metrics) == 1 else None)
    for what, value, known in (("filter", chosen, list(filters)), ("metric", metric, metrics)):
        if value is not None and known and value not in known:
            raise OneshotError(f"{task_name} has no {what} {value!r}", where=name, fix=nearest(str(value), known))
    return HarnessSet(name, task, documents[: min(size, len(documents))], filters[chosen], metric)


@functools.cache
def _files() -> dict[str, Path]:
    """Every task's file, by the line that names it: the library's own index takes many seconds to build."""
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.origin is not None
    found: dict[str, Path] = {}
    for path in sorted((Path(spec.origin).parent / "tasks").rglob("*.yaml")):
        if named := _NAMED.search(path.read_text(encoding="utf-8", errors="replace")):
            found.setdefault(named[1], path)
    return found


@functools.lru_cache(maxsize=4)
def _loaded(task_name: str, data: str | None) -> Any:
    """A task with its documents, seconds to load; `data` is the folder that its local file is looked for in."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_path=_files()[task_name].parent, include_defaults=False)
    config = tasks._factory._load_full_config(tasks.task_index[task_name], None)
    return tasks.load([{**config, **_local_data(config)}])["tasks"][task_name]


def _local_data(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of a task that take its rows from a file of ONESHOT_DATA, where there is one."""
    known, name = named_sets(), str(config.get("dataset_path", "")).rpartition("/")[2]
    path = known.get(name)
    if path is None or config.get("custom_dataset"):
        return {}
    kinds = [f"{split}_split" for split in (*SPLITS, "fewshot") if config.get(f"{split}_split")]
    tested = config[kinds[0]]
    near = {config[kind]: known.get(f"{name}_{config[kind]}") for kind in kinds} | {tested: path}
    files = {split: str(file) for split, file in near.items() if file is not None and file.suffix == path.suffix}
    gone = {kind: None for kind in kinds if config[kind] not in files}  # never the test's problems as a training split
    return {
        "dataset_path": READERS[path.suffix],
        "dataset_name": None,
        "dataset_kwargs": {"data_files": files},
        **gone,
    }


def _documents(task: Any, split: str | None, name: str) -> Sequence[Any]:
    """A split's documents, by default the first that there is of test, validation and training."""
    there = [each for each in SPLITS if getattr(task, f"has_{each}_docs")()]
    if split is None and there:
        split = there[0]
    if split not in there:
        fix = f"There are {', '.join(there)}; of a local copy, another split is a file of its own (gsm8k_train.jsonl)."
        raise OneshotError(f"there is no split {split!r}", where=name, fix=fix)
    return list(getattr(task, f"{split}_docs")())


def _until(text: str, stops: Any) -> str:
    """A text up to the first of the strings that end a generation."""
    for stop in [stops] if isinstance(stops, str) else stops or []:
        text = text.partition(stop)[0]
    return text
