"""How long a browser takes to show a report of 20 runs with 100 checkpoints each.

    python benchmarks/page.py --json results/page.json

The runs are made up: 2000 steps of metrics, 100 evaluated checkpoints with six suites, categories and levels, 48
transcripts side by side; the page is a real one, written by `oneshot report`'s code. Headless Chromium opens it and
says when what is in view has been drawn (`performance.now()`), and how many things it fetched; once in a window of 900
pixels, which draws the first plots, and once in one so tall that all are drawn. The machine's other work counts in.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from oneshot_rlvr.config import resolve
from oneshot_rlvr.problems import find_problems
from oneshot_rlvr.reporting import write_report
from oneshot_rlvr.reporting.figures import DYNAMICS
from oneshot_rlvr.runs import ModelScores, Part, Run, Score, Scores, step_name
from oneshot_rlvr.runs.scores import SHAPES
from outcome import write

RUNS, CHECKPOINTS, STEPS = 20, 100, 2000
SUITES = ("math500", "aime24", "amc23", "minerva_math", "olympiadbench", "aime25")


def made_up_run(folder: Path, number: int) -> Path:
    """A run folder with everything that the report reads, but no weights."""
    random, run = np.random.default_rng(number), Run(folder)
    config, sources = resolve(
        "grpo", "organism", [f"optimizer.learning_rate=1e-{3 + number % 7}"], {"run.seed": number}
    )
    folder.mkdir(parents=True)
    run.write_config(config, sources)
    run.write_environment({"commit": "made up"})
    run.write_problems(find_problems("organism")[number : number + 1])
    names = [name for name, _ in DYNAMICS] + ["outcome/correct", "validation/avg@4"]
    lines = [{"step": s, **{name: float(random.random()) for name in names}} for s in range(1, STEPS + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = "Let us think. " * 30 + r"\boxed{12.8}"
    for step in (1, STEPS):
        run.write_rollouts(step, [{"text": f"{text} {i}", "outcome": "correct", "reward": 1.0} for i in range(8)])

    def score() -> Score:
        value = 100 * float(random.random())
        shape: Any = {name: float(random.random()) for name in SHAPES}
        part = Part(value, (value - 2, value + 2), 100)
        by = {"category": {f"category {i}": part for i in range(7)}, "level": {str(i): part for i in range(1, 6)}}
        return Score(value, (value - 2, value + 2), 500, 8, passes={}, majority=None, by=by, **shape)

    every = STEPS // CHECKPOINTS
    models = {
        step_name(step): ModelScores({suite: score() for suite in SUITES}, score())
        for step in range(0, STEPS + 1, every)
    }
    examples = [
        {"suite": SUITES[i % 6], "question": text, "gold": "1", "category": "category 1"}
        | {side: {"text": text, "outcome": ("correct", "wrong")[i % 2]} for side in ("before", "after")}
        for i in range(48)
    ]
    run.evaluation("honest").write_scores(Scores.of(models), {})
    run.evaluation("honest").write_examples({"before": "base", "after": step_name(STEPS), "examples": examples})
    return folder


def opened(page: Path, profile: Path, height: int) -> dict[str, float]:
    """Milliseconds until the scripts are done, plots that are drawn then, things fetched."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "no Chromium here"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += [
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        f"--window-size=1200,{height}",
    ]
    done = subprocess.run([chromium, *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=300)
    found = {name: re.search(rf'data-{name}="(\d+)"', done.stdout) for name in ("ready", "fetched")}
    return {
        **{name: float(match.group(1)) if match else float("nan") for name, match in found.items()},
        "drawn": done.stdout.count('data-drawn="yes"'),
    }


def main() -> None:
    """Make the runs, write the page, open it three times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [made_up_run(Path(scratch) / f"run-{number:02}", number) for number in range(RUNS)]
        started = time.perf_counter()
        page = write_report(folders, Path(scratch) / "report.html")
        written, size = time.perf_counter() - started, page.stat().st_size
        times = [opened(page, Path(scratch) / f"profile-{turn}", 900) for turn in range(3)]
        tall = [opened(page, Path(scratch) / f"tall-{turn}", 12000) for turn in range(3)]
    result = {
        "runs": RUNS,
        "checkpoints": CHECKPOINTS,
        "page_mib": size / 2**20,
        "written_s": written,
        "ready_ms": statistics.median(one["ready"] for one in times),
        "drawn": times[0]["drawn"],
        "all_ready_ms": statistics.median(one["ready"] for one in tall),
        "all_drawn": tall[0]["drawn"],
        "fetched": max(one["fetched"] for one in (*times, *tall)),
    }
    write(result, options.json)


if __name__ == "__main__":
    main()
