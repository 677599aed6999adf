"""The demo with three seeds: is the one-shot gain there each time? Resumable; a finished seed is not run again.

python benchmarks/three_seeds.py --runs runs/three_seeds --out results/three_seeds.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from oneshot_rlvr.demo import Demo
from oneshot_rlvr.session import environment

EXPECTATION = (
    "Written before the runs: avg@8 at temperature 0.6 over the six suites, base between 15 and 45 %, one-shot at "
    "least 30 points above base for every seed, the curve climbing over at least 20 steps."
)


def curve(folder: Path) -> dict[str, float]:
    """Test average by checkpoint of the one-shot run."""
    scores = json.loads((folder / "one_shot" / "eval" / "scores.json").read_text())
    return {name: round(score["average"]["avg@8"], 2) for name, score in scores.items()}


def main() -> None:
    """Run the seeds, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/three_seeds"))
    parser.add_argument("--out", type=Path, default=Path("results/three_seeds.json"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    result: dict[str, Any] = {"expectation": EXPECTATION, "seeds": {}}
    for seed in options.seeds:
        folder = options.runs / f"seed_{seed}"
        summary_path = folder / "summary.json"
        summary = (
            json.loads(summary_path.read_text()) if summary_path.exists() else Demo(folder, seed, quiet=True).run()
        )
        base, one, full = (summary[name]["average"] for name in ("base", "one_shot", "full"))
        result["seeds"][seed] = {**summary, "one_shot_curve": curve(folder)}
        gain = f"{one:.1f} ({one - base:+.1f})"
        print(f"seed {seed}: {summary['selected']}, base {base:.1f}, one-shot {gain}, full {full:.1f}")
    result["environment"] = environment("cpu")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
