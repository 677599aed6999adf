"""How well `oneshot doctor` names what is wrong: 200 sabotaged runs of the organism and 50 healthy ones.

    for i in 0 1; do python benchmarks/doctor.py --runs runs/doctor --share $i/2 & done; wait  # on two cores
    python benchmarks/doctor.py --runs runs/doctor --json results/doctor.json

Each fault has ten runs: a setting of the fault, a problem and a seed, drawn from `SEED`. Five of its settings were
looked at while the doctor's rules were written (`develop`); the other five are used for the final figure alone. A
sabotaged run counts as found if its first finding is one that names the fault; a healthy one counts as clean if it has
none. Resumable; a run is let go of all but configuration, metrics and rollouts.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest

from faults import FAULTS, HALVES
from oneshot_rlvr.analysis import diagnose
from oneshot_rlvr.commands.session import start
from oneshot_rlvr.config import resolve
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.errors import NotFinite, OneshotError
from oneshot_rlvr.files import checksum_of, write_atomically
from oneshot_rlvr.grading.rewards import wrong_answer
from oneshot_rlvr.problems import Problem, find_problems, to_jsonl
from oneshot_rlvr.runs import Run
from oneshot_rlvr.training import prepare
from oneshot_rlvr.training.groups import Group
from outcome import write

SEED = 20_261_127
SIZE = [
    "run.steps=30",
    "batch.groups_per_step=6",
    "sampling.max_new_tokens=80",
    "run.save_every=100",
    "run.validate_every=10",
]
AT_ONCE = 12  # tokens
EXPECTATION = (
    "Written before the rules: of the 100 runs with settings that were never looked at, the injected fault is the "
    "first finding in 90 to 97 %; what is missed are wrong golds of problems on which the base answers disagree, and "
    "learning rates near the border of what still works. Of the 50 healthy runs at most one has a finding. (Changed "
    "2026-11-28, before any run of that half: settings that both halves had are others now, and healthy "
    "problems may be hard.)"
)


@dataclass(frozen=True)
class Case:
    """One run to make: what was done to it, and how."""

    name: str
    fault: str | None
    half: str
    recipe: str
    model: str
    problems: list[Problem]
    spoilt: dict[str, Any]
    seed: int
    setting: str


def sampled(model: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Of 32 samples of each problem of the pool at temperature 1: the share that is right, and the answer that is most
    often given at once, with how often. Kept in the folder."""
    path = folder / f"rates-{model}.json"
    if not path.exists():
        config, _ = resolve("grpo-full", model, ["batch.group_size=32"])
        problems = find_problems("organism")
        trainer = prepare(config, Run(folder / "none"), problems)
        with trainer.source.grader:
            groups = trainer.source.groups(1, problems)
        rates = {group.problem.id: {"rate": group.correct / 32} | at_once(group) for group in groups}
        write_atomically(path, json.dumps(rates))
    return json.loads(path.read_text())


def at_once(group: Group) -> dict[str, Any]:
    """The answer that is most often given without working it out."""
    pairs = zip(group.rollouts, group.grades, strict=True)
    short = [grade.extracted for rollout, grade in pairs if grade.extracted and len(rollout.response_ids) <= AT_ONCE]
    answer, times = Counter(short).most_common(1)[0] if short else (None, 0)
    return {"guess": answer, "guesses": times}


def cases(folder: Path) -> Iterator[Case]:
    """All 250 runs, the same ones each time."""
    base, expert = sampled("organism", folder), sampled("expert", folder)
    pool = {problem.id: problem for problem in find_problems("organism")}
    chosen = {
        "learnable": [name for name, row in base.items() if row["rate"] >= 0.15],
        "sometimes": [name for name, row in base.items() if row["rate"] >= 0.05],
        "guessed": [name for name, row in base.items() if row["guesses"] >= 3 and row["rate"] < 0.15],
        "solved": [name for name, row in expert.items() if row["rate"] >= 0.97],
        "agreed": [name for name, row in expert.items() if row["rate"] >= 0.75 and pool[name].answer.isdigit()],
        "pool": list(pool),
    }
    draw = np.random.default_rng(SEED)
    for label, fault in FAULTS.items():
        for half in HALVES:
            for number, setting in enumerate(getattr(fault, half)):
                spoilt = fault.spoil(setting)
                names = chosen[fault.problems]
                place = spoilt.get("place", int(draw.integers(len(names)))) % len(names)
                problems = list(pool.values()) if fault.problems == "pool" else [pool[names[place]]]
                if "guessed" in spoilt:  # what it says at once is made right
                    problems = [replace(p, answer=base[p.id]["guess"], solution=None) for p in problems]
                if "own" in spoilt:
                    question, answer = spoilt["own"]
                    problems = [Problem(id="mine", question=question, answer=answer, source="hard")]
                recipe = str(draw.choice(list(fault.recipes)))
                name = f"{label}-{half}-{number}".replace(" ", "_")
                model = spoilt.get("model", fault.model)
                seed = int(draw.integers(1000))
                yield Case(name, label, half, recipe, model, problems, spoilt, seed, repr(setting))
    for number in range(50):
        recipe = HEALTHY[number % len(HEALTHY)]
        names = chosen["sometimes"]
        own = [pool[names[int(draw.integers(len(names)))]]]
        problems = list(pool.values()) if recipe == "grpo-full" else own
        settings: dict[str, Any] = {
            "optimizer.learning_rate": float(draw.choice([5e-5, 1e-4, 2e-4])),
            "sampling.temperature": float(draw.choice([0.8, 0.9, 1.0])),
        }
        if recipe in IN_FOUR:
            settings["batch.groups_per_step"] = 8
        half, seed = HALVES[number // len(HEALTHY) % 2], int(draw.integers(1000))
        spoilt = {"settings": settings}
        yield Case(f"healthy-{number}", None, half, recipe, "organism", problems, spoilt, seed, "")


HEALTHY = ("grpo", "grpo-no-kl", "dr-grpo", "rloo", "grpo-full", "ppo", "dapo", "gspo", "cispo", "reinforce-pp")
IN_FOUR = ("dapo", "gspo", "cispo")  # their steps have four minibatches


def make(case: Case, folder: Path) -> Run:
    """The run, made if it is not there, and let go of its checkpoints."""
    run, made = Run(folder / case.name), folder / case.name / "made"
    settings = [*SIZE, *(f"{name}={json.dumps(value)}" for name, value in case.spoilt.get("settings", {}).items())]
    model = str(endless(folder)) if case.spoilt.get("endless") else case.model
    if model != case.model:
        settings = [*settings, *PROFILE]
    problems = case.problems
    if "gold" in case.spoilt:
        problems = [with_gold(problem, case.spoilt["gold"]) for problem in problems]
    config, sources = resolve(case.recipe, model, settings, {"run.seed": case.seed})
    key = checksum_of(json.dumps([config.model_dump(mode="json"), to_jsonl(problems), str(case.fault), case.setting]))
    if made.exists() and made.read_text() == key:
        return run
    shutil.rmtree(run.path, ignore_errors=True)
    try:
        start(run, config, sources, problems, reward=case.spoilt.get("reward"))
    except OneshotError as error:  # a loss that is not finite is part of what is to be diagnosed
        if not isinstance(error.__cause__, NotFinite):
            raise
    shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    made.write_text(key)
    return run


PROFILE = [
    "model.template=plain",
    "model.threads=1",
    "sampling.temperature=1.0",
    "optimizer.learning_rate=1e-4",
    "sampling.max_prompt_tokens=128",
    "run.validation=organism:validation",
]


def with_gold(problem: Problem, label: str) -> Problem:
    """The problem with a wrong answer and no solution to compare it with."""
    return replace(problem, answer=wrong_answer(problem, label), solution=None)


def endless(folder: Path) -> Path:
    """The organism with an end token that it never says."""
    target, begun = folder / "endless", folder / "endless.begun"
    if not target.exists():
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(model_folder("organism"), begun)
        for name in ("config.json", "generation_config.json"):
            path = begun / name
            if path.exists():
                path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": 1}))
        path = begun / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token": "<|pad|>"}))
        begun.rename(target)
    return target


def counted(found: dict[str, dict[str, Any]], half: str | None) -> dict[str, Any]:
    """How many sabotaged runs were named right, and how many healthy ones were called ill."""
    rows = [row for row in found.values() if half in (None, row["half"])]
    sick, healthy = [r for r in rows if r["fault"]], [r for r in rows if not r["fault"]]
    by_fault = {
        fault: f"{sum(r['named'] for r in sick if r['fault'] == fault)} of {sum(r['fault'] == fault for r in sick)}"
        for fault in FAULTS
    }
    return {
        "sabotaged": len(sick),
        "first finding names the fault": sum(r["named"] for r in sick),
        "any finding names the fault": sum(r["anywhere"] for r in sick),
        "interval of the first, %": interval(sum(r["named"] for r in sick), len(sick)),
        "healthy": len(healthy),
        "healthy with a finding": sum(bool(r["findings"]) for r in healthy),
        "by fault": by_fault,
    }


def interval(named: int, of: int) -> list[float]:
    """Wilson's 95 % interval of a share, in percent."""
    low, high = binomtest(named, of).proportion_ci(method="wilson") if of else (0.0, 1.0)
    return [round(100 * low, 1), round(100 * high, 1)]


def judged(case: Case, run: Run) -> dict[str, Any]:
    """What the doctor says of a run, and whether that is what was done to it."""
    names = [finding.finding for finding in diagnose(run)]
    wanted = FAULTS[case.fault].named if case.fault else ()
    return {
        "fault": case.fault,
        "half": case.half,
        "findings": names,
        "named": bool(names) and names[0] in wanted,
        "anywhere": any(name in wanted for name in names),
    }


def main() -> None:
    """Make what is missing, diagnose, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/doctor"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--half", choices=HALVES, help="this half alone")
    parser.add_argument("--share", help="I/N: only make every N-th run, beginning with the I-th; several processes do")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    wanted = [case for case in cases(options.runs) if options.half in (None, case.half)]
    if options.share:
        first, every = map(int, options.share.split("/"))
        for case in wanted[first::every]:
            print(case.name, make(case, options.runs).path, flush=True)
        return
    for case in wanted:
        found[case.name] = judged(case, make(case, options.runs))
        print(case.name, *found[case.name]["findings"], flush=True)
    halves = {half: counted(found, half) for half in HALVES if options.half in (None, half)}
    missed = {n: r["findings"] for n, r in found.items() if (not r["named"] if r["fault"] else r["findings"])}
    figures = {"expectation": EXPECTATION, "seed": SEED, **halves, "missed": missed, "findings": found}
    write(figures if options.half else figures | {"all": counted(found, None)}, options.json)


if __name__ == "__main__":
    main()
