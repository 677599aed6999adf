"""`oneshot demo`: the whole paper on the organism, resumable stage by stage.

base evaluation -> selection (a full-pool run's accuracy history) -> one-shot training -> evaluation -> report.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from oneshot_rlvr import organism
from oneshot_rlvr.commands.progress import Reporter, training_note
from oneshot_rlvr.commands.session import chosen_problems, resume, start
from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import Checkpoint, Evaluator, Protocol, checkpoints_of
from oneshot_rlvr.evaluation.checkpoints import counting
from oneshot_rlvr.evaluation.summary import summarise
from oneshot_rlvr.evaluation.sweep import evaluate_checkpoints, write_examples
from oneshot_rlvr.files import write_json
from oneshot_rlvr.problems import find_problems, get_template
from oneshot_rlvr.reporting import write_report
from oneshot_rlvr.runs import BASE, EvaluationFolder, ModelScores, Run, Scores
from oneshot_rlvr.sealing import read_record, write_record
from oneshot_rlvr.selection import Candidates, accuracy_history, rank

SUITE_PROBLEMS = 64  # of each suite's 128, so that the demo stays short
SUITE_CHECKPOINTS = 2  # every second checkpoint is asked the held-out suites


class Demo:
    """The demo in one folder. Every stage looks at what is there and does the rest."""

    def __init__(
        self, out: Path, seed: int = 0, model: str = "organism", settings: tuple[str, ...] = (), quiet: bool = False
    ) -> None:
        self.out, self.seed, self.model, self.settings = out, seed, model, list(settings)
        self.reporter = Reporter(quiet)
        self.full, self.one_shot = Run(out / "full"), Run(out / "one_shot")
        config, _ = self._config([])
        self.evaluator = Evaluator(
            suites={name: find_problems(name)[:SUITE_PROBLEMS] for name in organism.suites()},
            template=get_template(config.model.template),
            protocol=Protocol(max_new_tokens=config.sampling.max_new_tokens),
            folder=EvaluationFolder(out / "eval"),
            config=config,
        )
        self.base = Checkpoint(BASE, 0, config.model)

    def run(self) -> dict[str, Any]:
        """Do every stage and return the summary, which `summary.json` holds too."""
        with self._timed("base"):
            self._evaluate("Base evaluation", [self.base], self.evaluator)
        with self._timed("selection"):
            self._train(self.full, "Selection: the whole pool", [])
            selected = self._select()
        with self._timed("one_shot"):
            self._train(self.one_shot, f"One-shot training on {selected}", [f"data.only={json.dumps([selected])}"])
        scores, best = {}, {}
        with self._timed("evaluation"):
            for run in (self.one_shot, self.full):
                checkpoints = [self.base, *checkpoints_of(run, SUITE_CHECKPOINTS, base=False)]
                evaluator = replace(self.evaluator, folder=run.evaluation("honest"))
                evaluator.folder.adopt(self.evaluator.folder)
                scores[run] = self._evaluate(f"Evaluation: {run.path.name}", checkpoints, evaluator)
                best[run] = counting(run, checkpoints)
                write_examples(self.base, best[run], evaluator)
                evaluator.folder.write_summary(summarise(run, scores[run]))
        with self._timed("report"):
            title = f"One example, end to end (seed {self.seed})"
            write_report(
                [self.one_shot.path, self.full.path], self.out / "report.html", title, self.out / "selection.json"
            )
        summary = {"selected": selected, "base": self._row(scores[self.one_shot].first)}
        for name, run in (("one_shot", self.one_shot), ("full", self.full)):
            summary[name] = {**self._row(scores[run].checkpoints[best[run].step]), "best_step": best[run].step}
        summary |= {"seed": self.seed, "model": self.model, "seconds": self._seconds()}
        write_json(self.out / "summary.json", summary)
        return summary

    def _config(self, settings: list[str]) -> tuple[Config, dict[str, str]]:
        return resolve("grpo-full", self.model, [*self.settings, *settings], {"run.seed": self.seed})

    def _train(self, run: Run, name: str, settings: list[str]) -> None:
        config, sources = self._config(settings)
        with self.reporter.task(name, config.run.steps) as task:

            def on_step(step: int, steps: int, metrics: dict[str, float]) -> None:
                task.update(step, training_note(metrics), steps)

            if run.started:
                if run.config != config:
                    raise OneshotError(
                        "it was made with another seed, model or setting",
                        where=run.path,
                        fix="Give the demo another --out, or delete this folder.",
                    )
                resume(run, on_step=on_step)
            else:
                start(run, config, sources, chosen_problems(config), on_step)

    def _select(self) -> str:
        history = accuracy_history(self.full)
        ranking = rank(Candidates.of(None, history))
        record = {
            "selected": ranking[0].id,
            "ranking": [row.to_json() for row in ranking],
            "history": {key: [visit.accuracy for visit in visits] for key, visits in history.items()},
        }
        write_record(self.out / "selection.json", record)
        return ranking[0].id

    def _evaluate(self, name: str, checkpoints: list[Checkpoint], evaluator: Evaluator) -> Scores:
        with self.reporter.task(name, len(checkpoints) * len(self.evaluator.suites)) as task:
            done = 0

            def on_unit(checkpoint: str, suite: str) -> None:
                nonlocal done
                done += 1
                task.update(done, f"{checkpoint} {suite}")

            return evaluate_checkpoints(checkpoints, evaluator, on_unit)

    def _row(self, scores: ModelScores) -> dict[str, Any]:
        average = scores.average
        suites = {name.removeprefix(f"{organism.SOURCE}:"): score.accuracy for name, score in scores.suites.items()}
        return {
            "average": average.accuracy,
            "interval": average.interval,
            "greedy": average.greedy,
            "suites": suites,
        }

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add this stage's seconds to `stages.json`, so that a resumed demo reports its whole time."""
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = self._seconds()
            seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - started, 2)
            write_record(self.out / "stages.json", seconds)

    def _seconds(self) -> dict[str, float]:
        path = self.out / "stages.json"
        return read_record(path, "Delete it; the demo forgets its earlier stages' seconds.") if path.exists() else {}
