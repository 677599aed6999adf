"""Work on a folder of scores without a model: grade its transcripts by other rules, compare two checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.evaluate import model_scores, suite_record
from oneshot_rlvr.evaluation.scoring import grade_rows, rates_of
from oneshot_rlvr.evaluation.statistics import Difference, holm, paired_difference
from oneshot_rlvr.grading import Grader
from oneshot_rlvr.grading.modes import get_mode
from oneshot_rlvr.grading.pool import standing_pool
from oneshot_rlvr.problems import Problem, get_template
from oneshot_rlvr.runs import EvaluationFolder, Run, Scores, step_name, step_of
from oneshot_rlvr.runs.evaluation import AGAIN

Row = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """What `oneshot eval` wrote: what was asked, the problems, each checkpoint's transcripts; and of which run."""

    folder: EvaluationFolder
    protocol: Row
    index: dict[str, Row]
    suites: dict[str, list[Problem]]
    run: Run | None

    @classmethod
    def at(cls, path: Path) -> Evaluation:
        """The evaluation in a folder, or of a run.

        Raises:
            OneshotError: there is none.
        """
        folder = Run(path).evaluation() if Run(path).started else EvaluationFolder(path)
        if not folder.index() or not folder.protocol():
            raise OneshotError(
                "no evaluation in this folder", where=path, fix="Run `oneshot eval`; an unfinished one goes on."
            )
        suites = folder.suites()
        for name, problems in suites.items():
            if suite_record(problems) != folder.protocol()["suites"][name]:
                raise OneshotError(f"the problems of {name} were damaged or edited", where=folder.path, fix=AGAIN)
        run = next((Run(near) for near in (path, folder.path.resolve().parent) if Run(near).started), None)
        return cls(folder, folder.protocol(), folder.index(), suites, run)

    def rows(self, checkpoint: str, mode: str | None = None, fallback: bool | None = None) -> dict[str, list[Row]]:
        """A checkpoint's graded rows by suite, by the evaluation's rules or others.

        Raises:
            OneshotError: no such checkpoint, or a damaged transcript.
        """
        if checkpoint not in self.index:
            raise OneshotError(
                f"no checkpoint {checkpoint!r} here", where=self.folder.path, fix=f"There are {', '.join(self.index)}."
            )
        entry, asked = self.index[checkpoint], self.protocol["protocol"]
        graded: dict[str, list[Row]] = {}
        rules = {"mode": mode or asked["mode"], "fallback": asked["fallback"] if fallback is None else fallback}
        with Grader(get_template(entry["template"]), **rules, workers=standing_pool()) as grader:
            for suite, problems in self.suites.items():
                if suite not in entry["transcripts"]:
                    raise OneshotError(
                        f"{checkpoint} has no transcripts of {suite}", where=self.folder.path, fix="Run `oneshot eval`."
                    )
                rows = [row for name in entry["transcripts"][suite] for row in self.folder.transcript(name)]
                graded[suite] = grade_rows(rows, problems, grader)
        return graded

    def default_checkpoint(self) -> str:
        """The one that counts (`Run.chosen_step`; apart from its run, the summary's); of a model alone, that model."""
        steps = [step_of(name) for name in self.index if step_of(name)]
        kept = self.folder.summary().get("chosen", {}).get("checkpoint")
        if self.run is None and kept in self.index:
            return kept
        chosen = self.run.chosen_step(steps) if self.run else max(steps, default=None)
        if chosen is not None:
            return step_name(chosen)
        return next(name for name in self.index if "@" not in name)


def regrade(
    path: Path, mode: str, fallback: bool | None = None, words: Sequence[str] | None = None
) -> tuple[Scores, Path]:
    """Scores of every transcript under another grading mode, without sampling: `FOLDER/scores.MODE.json`
    (`scores.MODE+fallback.json` with the fallback). What is not given stays as it was evaluated.

    Raises:
        OneshotError: no evaluation there, or no such mode.
    """
    evaluation = Evaluation.at(path)
    get_mode(mode)
    searched: Sequence[str] = evaluation.protocol["reflection_words"] if words is None else words
    falls_back = evaluation.protocol["protocol"]["fallback"] if fallback is None else fallback
    scores = Scores.of(
        {name: model_scores(evaluation.rows(name, mode, falls_back), searched) for name in evaluation.index}
    )
    return scores, evaluation.folder.write_regraded(scores, f"{mode}{'+fallback' if falls_back else ''}")


def parse_side(text: str) -> tuple[Path, str | None]:
    """A run or folder of scores, with a checkpoint of it after a colon: `runs/a:base`."""
    path, _, checkpoint = text.rpartition(":") if ":" in text and not Path(text).exists() else (text, "", "")
    return Path(path), checkpoint or None


def compare(a: str, b: str) -> dict[str, Any]:
    """b against a on the problems that both were asked: points, interval and p-value by suite and for the average.

    Each side is a run or folder, by default its chosen checkpoint. Suites' p-values carry Holm's adjustment too.
    `notes` say what else differs between the two, and which suites could not be compared.

    Raises:
        OneshotError: no evaluation there, or nothing in common.
    """
    (left, left_name, asked_left), (right, right_name, asked_right) = _side(a), _side(b)
    shared = [suite for suite in left if suite in right and _same_problems(left[suite], right[suite])]
    if not shared:
        raise OneshotError(
            "the two were not asked the same problems", where=f"{a} and {b}", fix="Evaluate both on the same suites."
        )
    notes = [f"not compared, because the problems differ: {s}" for s in {**left, **right} if s not in shared]
    notes += [
        f"{key} differs: {asked_left[key]} and {asked_right[key]}"
        for key in asked_left
        if asked_left[key] != asked_right[key]
    ]
    kinds = ["samples"] + ["greedy"] * all(
        row["greedy"] or not row["samples"] for side in (left, right) for s in shared for row in side[s]
    )
    table: dict[str, Row] = {}
    for kind in kinds:
        found = {s: paired_difference([rates_of(left[s], kind)], [rates_of(right[s], kind)]) for s in shared}
        adjusted = holm([difference.p_value for difference in found.values()])
        label = "" if kind == "samples" else " (greedy)"
        for (suite, difference), p_value in zip(found.items(), adjusted, strict=True):
            table[suite + label] = _row(left, right, [suite], kind, difference) | {"p_holm": p_value}
        over_all = paired_difference(
            [rates_of(left[s], kind) for s in shared], [rates_of(right[s], kind) for s in shared]
        )
        table["average" + label] = _row(left, right, shared, kind, over_all)
    return {"a": {"name": left_name}, "b": {"name": right_name}, "suites": table, "notes": notes}


def _side(text: str) -> tuple[dict[str, list[Row]], str, Row]:
    path, checkpoint = parse_side(text)
    evaluation = Evaluation.at(path)
    name = checkpoint or evaluation.default_checkpoint()
    protocol = evaluation.protocol["protocol"]
    asked = {key: protocol[key] for key in ("sampling", "by_suite", "max_new_tokens", "mode", "fallback")}
    return evaluation.rows(name), f"{path}:{name}", asked | {"template": evaluation.index[name]["template"]}


def _same_problems(a: Sequence[Row], b: Sequence[Row]) -> bool:
    return [(row["question"], row["gold"]) for row in a] == [(row["question"], row["gold"]) for row in b]


def _row(
    a: Mapping[str, Sequence[Row]], b: Mapping[str, Sequence[Row]], suites: Sequence[str], kind: str, found: Difference
) -> Row:
    def level(side: Mapping[str, Sequence[Row]]) -> float:
        means = [sum(rates) / len(rates) for rates in (rates_of(side[suite], kind) for suite in suites)]
        return 100 * sum(means) / len(means)

    return {
        "a": level(a),
        "b": level(b),
        "difference": 100 * found.value,
        "interval": [100 * end for end in found.interval],
        "p_value": found.p_value,
        "n": sum(len(a[suite]) for suite in suites),
    }
