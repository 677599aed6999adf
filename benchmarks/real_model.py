"""The paper's question asked of a real language model on a laptop: one training problem, and what it does to test sets.

    python ../shared/models/get_model.py qwen2.5-coder-0.5b-instruct FOLDER
    python benchmarks/real_model.py FOLDER --out runs/real --json results/real_model.json

Base, one-shot GRPO, a format-only reward and (an eighth as long) learning rate 0, over training seeds. The training
problem is the one of 16 short ones of DSR-sub whose success varies most. Every stage goes on where it stopped;
expectations, written first, are in results/real_model/EXPECTATIONS.md. `--sums` trains on one sum instead and asks
others: for models too small for GSM8K.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

import oneshot_rlvr as oneshot
from oneshot_rlvr.config import resolve
from oneshot_rlvr.evaluation.metrics import beyond_format
from oneshot_rlvr.evaluation.offline import Evaluation, compare
from oneshot_rlvr.evaluation.scoring import percent, rates_of, score_rows
from oneshot_rlvr.evaluation.statistics import interval_over_seeds
from oneshot_rlvr.files import checksum, checksum_of, write_atomically
from oneshot_rlvr.policy.model import as_the_model_asks
from oneshot_rlvr.problems import Problem, find_problems, to_jsonl
from oneshot_rlvr.runs import ModelScores, Run
from oneshot_rlvr.training import prepare
from outcome import about, save
from real_page import show

CANDIDATES, TRIES, SHORT, LONGEST = 16, 8, 160, 6  # problems, samples each, characters of a question, of an answer
TOGETHER = 4  # problems sampled at once: a token of many rows costs little more than one of few
RECIPE, STEPS, TOKENS = "grpo-no-kl", 24, 192
TESTED: dict[str, Any] = {"samples": 2, "temperature": 0.6, "max_new_tokens": 512}
ALWAYS = {
    "batch.groups_per_step": 2,
    "sampling.temperature": 1.0,
    "sampling.max_new_tokens": TOKENS,
    "sampling.max_prompt_tokens": 512,
    "optimizer.learning_rate": 5e-6,
    "run.steps": STEPS,
    "run.save_every": STEPS // 2,
    "run.validate_every": 0,
}
CONDITIONS: dict[str, dict[str, Any]] = {
    "one_shot": {},
    "format": {"algorithm.reward": "format"},
    "no_op": {"optimizer.learning_rate": 0.0, "run.steps": STEPS // 8},
}
SHOWN = 10
KINDS = {"samples": "", "greedy": "greedy_"}


def sums(count: int, seed: int) -> list[Problem]:
    """Sums of two numbers below 100."""
    draw = random.Random(seed)
    pairs = [(draw.randint(2, 99), draw.randint(2, 99)) for _ in range(count)]
    return [Problem(f"sum-{a}-{b}", f"What is {a} + {b}?", str(a + b), "sums") for a, b in dict.fromkeys(pairs)]


def candidates(simple: bool) -> list[Problem]:
    """Short problems with whole-number answers, the same ones each time."""
    if simple:
        return sums(CANDIDATES, 1)
    pool = [p for p in find_problems("dsr-sub") if len(p.question) <= SHORT and p.answer.strip("-").isdigit()]
    short = [p for p in pool if len(p.answer) <= LONGEST]
    chosen = np.random.default_rng(0).choice(len(short), CANDIDATES, replace=False)
    return [short[i] for i in sorted(chosen)]


def rates(model: str, problems: list[Problem], out: Path) -> dict[str, float]:
    """How often the base solves each, as a run would sample it; each is kept."""
    path = out / "candidates.json"
    found: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    if missing := [(stream, problem) for stream, problem in enumerate(problems) if problem.id not in found]:
        config, _ = as_the_model_asks(*resolve(RECIPE, model, ALWAYS | {"batch.group_size": TRIES}))
        trainer = prepare(config, Run(out / "none"), problems)
        with trainer.source.grader:
            for some in (missing[at : at + TOGETHER] for at in range(0, len(missing), TOGETHER)):
                asked = [problem for _, problem in some]
                groups = trainer.source.groups(1, asked, streams=[stream for stream, _ in some])
                found |= {one.id: group.correct / TRIES for one, group in zip(asked, groups, strict=True)}
                write_atomically(path, json.dumps(found, indent=1))
                print("candidates", found, flush=True)
    return found


def trained(model: str, condition: str, seed: int, problem: Problem, out: Path) -> Run:
    """A finished run of a condition; a killed one goes on."""
    settings = ALWAYS | CONDITIONS[condition]
    return oneshot.train(
        RECIPE,
        model=model,
        problems=[problem],
        settings=settings | {"run.seed": seed},
        out=out / f"{condition}-{seed}",
        on_step=lambda step, steps, m: print(condition, seed, step, round(m["reward/mean"], 3), flush=True),
    )


def evaluated(target: str, name: str, suites: tuple[str, ...], limit: int, out: Path) -> ModelScores:
    """Greedy and avg@2 at 0.6 of a model on the suites; transcripts are kept, so it goes on where it stopped."""
    scores = oneshot.evaluate(target, suites=suites, limit=limit, out=out / f"eval-{name}", **TESTED)
    found = scores.base or next(iter(scores.checkpoints.values()))
    print(name, {suite: (score.accuracy, score.greedy) for suite, score in found.suites.items()}, flush=True)
    return found


def unchanged(model: str, weights: Path) -> bool:
    """Whether a checkpoint has the model's weights, to the bit of what it is kept in."""
    before, after = (load_file(Path(folder) / "model.safetensors") for folder in (model, weights))
    return before.keys() == after.keys() and all(torch.equal(before[k].to(after[k].dtype), after[k]) for k in before)


def over_seeds(folders: list[Path], base: Path | None = None) -> dict[str, Any]:
    """Scores of a condition by suite: intervals over problems and seeds, and the differences from the base."""
    runs, untrained = [answers(folder) for folder in folders], None if base is None else answers(base)
    table: dict[str, Any] = {}
    for suite in runs[0]:
        problems = zip(*(run[suite] for run in runs), strict=True)
        same = [rows[0] | {kind: [r for row in rows for r in row[kind]] for kind in KINDS} for rows in problems]
        score = score_rows(same)
        row: dict[str, Any] = {"greedy": score.greedy, score.metric: score.accuracy}
        row |= {"boxed": score.boxed, "truncated": score.truncated, "length": score.length}
        for kind, name in KINDS.items():
            by_seed = [{suite: rates_of(run[suite], kind)} for run in runs]
            row[f"{name}interval"] = list(percent(interval_over_seeds(by_seed)))
            if untrained is not None:
                minus = [{suite: rates_of(untrained[suite], kind)}] * len(runs)
                points = 100 * (mean_of(by_seed, suite) - mean_of(minus, suite))
                row[f"{name}minus_base"] = {
                    "points": points,
                    "interval": list(percent(interval_over_seeds(by_seed, minus))),
                }
        table[suite] = row
    return table


def answers(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """An evaluation's graded responses by suite."""
    found = Evaluation.at(folder)
    return found.rows(found.default_checkpoint())


def mean_of(by_seed: list[dict[str, list[float]]], suite: str) -> float:
    """The mean rate of a suite over seeds."""
    return float(np.mean([rates[suite] for rates in by_seed]))


def paired(base: Path, other: Path) -> dict[str, Any]:
    """Another evaluation against the base's, by suite; both must have been asked in the same way."""
    found = compare(str(base), str(other))
    if found["notes"]:
        raise SystemExit(f"{base} and {other}: {'; '.join(found['notes'])}")
    return found["suites"]


def study(model: str, seeds: int, out: Path, simple: bool, limit: int) -> dict[str, Any]:
    """Everything, stage by stage."""
    problems = candidates(simple)
    refuse_another(model, problems, simple, limit, out)
    found = rates(model, problems, out)
    by_variance = sorted(problems, key=lambda p: -found[p.id] * (1 - found[p.id]))
    chosen, suites = by_variance[0], ("gsm8k", "math500")
    if simple:
        (out / "sums.jsonl").write_text(to_jsonl([p for p in sums(limit, 2) if p.question != chosen.question]))
        suites = (str(out / "sums.jsonl"),)
    base = evaluated(model, "base", suites, limit, out)
    table: dict[str, Any] = {"base": over_seeds([out / "eval-base"]), "seeds": seeds}
    table |= {"paired": {}, "beyond_format": {}, "curves": {}, "transcripts": {}, "unchanged": []}
    for condition in CONDITIONS:
        folders: list[Path] = []
        for seed in range(seeds):
            name = f"{condition}-{seed}"
            found_of = measured(model, condition, seed, chosen, base, suites, limit, out)
            folders.append(out / ("eval-base" if found_of["unchanged"] else f"eval-{name}"))
            table["unchanged"] += [name] * found_of["unchanged"]
            table["paired"][name] = paired(out / "eval-base", folders[-1])
            for part in ("beyond_format", "curves", "transcripts"):
                table[part][name] = found_of[part]
        moved = any(folder.name != "eval-base" for folder in folders)  # where nothing moved it is the base
        table[condition] = over_seeds(folders, out / "eval-base") if moved else table["base"]
    return table | {"problem": {"question": chosen.question, "answer": chosen.answer}, "candidates": found}


def refuse_another(model: str, problems: list[Problem], simple: bool, limit: int, out: Path) -> None:
    """What a folder keeps is of one model, asked in one way."""
    weights = sorted(Path(model).glob("*.safetensors"))
    asked = {
        "weights": [checksum(path) for path in weights],
        "settings": [RECIPE, ALWAYS, CONDITIONS, TRIES],
        "candidates": checksum_of(to_jsonl(problems)),
        "tests": [simple, limit, TESTED],
    }
    path = out / "study.json"
    if not path.exists():
        write_atomically(path, json.dumps(asked, indent=1))
    if json.loads(path.read_text()) != json.loads(json.dumps(asked)):
        raise SystemExit(f"{out} is of another study: give another --out")


def measured(
    model: str,
    condition: str,
    seed: int,
    problem: Problem,
    base: ModelScores,
    suites: tuple[str, ...],
    limit: int,
    out: Path,
) -> dict[str, Any]:
    """A condition's run of one seed, trained and asked. What is kept of it needs neither weights nor run again."""
    name = f"{condition}-{seed}"
    path = out / f"{name}.json"
    if not path.exists():
        run = trained(model, condition, seed, problem, out)
        weights = run.checkpoint_path(run.steps()[-1])
        same = unchanged(model, weights)  # then it answers as the base did, and is not asked again
        after = base if same else evaluated(str(weights), name, suites, limit, out)
        names = ("reward/mean", "outcome/correct", "response/truncated_fraction", "response/length_mean")
        found = {
            "unchanged": same,
            "beyond_format": {suite: beyond_format(base.suites[suite], after.suites[suite]) for suite in base.suites},
            "curves": {n: [round(line[n], 4) for line in run.metrics()] for n in names},
            "transcripts": transcripts(run),
        }
        write_atomically(path, json.dumps(found, indent=1))
    return json.loads(path.read_text())


def transcripts(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Rollouts of the first and of the last step."""
    names = ("text", "outcome", "extracted", "reward")
    ends = {"before": run.rollout_steps()[0], "after": run.rollout_steps()[-1]}
    return {when: [{k: r[k] for k in names} for r in run.rollouts(step)[:SHOWN]] for when, step in ends.items()}


def main() -> None:
    """Run the study and write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model folder")
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--limit", type=int, default=100, help="test problems of each suite")
    parser.add_argument("--sums", action="store_true", help="one sum, and others asked")
    parser.add_argument("--json", type=Path, help="write or add to this table; a figure and transcripts beside it")
    options = parser.parse_args()
    out = options.out / (Path(options.model).name + "-sums" * options.sums)
    out.mkdir(parents=True, exist_ok=True)
    table = study(options.model, options.seeds, out, options.sums, options.limit)
    known = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    known |= {out.name: table | {"about": about()}}
    save(known, options.json)
    if options.json:
        show(known, options.json)


if __name__ == "__main__":
    main()
