"""What `results/real_model.json` says, to look at: curves and accuracies as a figure, and transcripts before and after.

python benchmarks/real_page.py results/real_model.json
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

COLOURS = {"base": "#7f8896", "one_shot": "#2563c9", "format": "#d9730d", "no_op": "#3a9a57"}


def runs_of(condition: str, table: dict[str, Any]) -> list[str]:
    """The names of a condition's runs, by seed."""
    return [name for seed in range(table["seeds"]) if (name := f"{condition}-{seed}") in table["curves"]]


def draw(models: dict[str, dict[str, Any]], path: Path) -> None:
    """A row a model: right answers to the training problem by step, and accuracy on the test sets with intervals."""
    import matplotlib.pyplot as plt

    figure, rows = plt.subplots(len(models), 2, figsize=(11, 4 * len(models)), layout="constrained", squeeze=False)
    for (name, table), (curves, bars) in zip(models.items(), rows, strict=True):
        conditions = [condition for condition in COLOURS if condition in table]
        for condition in conditions:
            for seed, run in enumerate(runs_of(condition, table)):
                right = [100 * rate for rate in table["curves"][run]["outcome/correct"]]
                label = condition if seed == 0 else None
                curves.plot(range(1, len(right) + 1), right, color=COLOURS[condition], label=label)
        for place, condition in enumerate(conditions):
            for at, suite in enumerate(table["base"]):
                row = table[condition][suite]
                metric = next(key for key in row if key.startswith(("avg@", "pass@")))
                low, high = row["interval"]
                x = at + 0.2 * place
                bars.bar(x, row[metric], 0.18, color=COLOURS[condition], label=condition if at == 0 else None)
                bars.plot([x, x], [low, high], color="k", lw=0.8)
        bars.set_xticks([at + 0.3 for at in range(len(table["base"]))], [Path(suite).stem for suite in table["base"]])
        curves.set(xlabel="step", ylabel="% right on the training problem", title=f"{name}, one line a seed")
        bars.set(ylabel="% right, with 95 % intervals", title="Test problems")
        curves.legend()
        bars.legend()
    figure.savefig(path, metadata={"Date": None})


def fenced(text: str) -> list[str]:
    """A response as Markdown shows it and does not read it."""
    longest = max((len(run) for run in re.findall("~+", text)), default=0)
    fence = "~" * max(3, longest + 1)
    return [f"{fence}text", text, fence, ""]


def transcripts(name: str, table: dict[str, Any]) -> str:
    """The first rollouts on the training problem and the last, of each condition's first seed."""
    problem = table["problem"]
    lines = [f"# {name}: rollouts before and after", "", f"The problem, whose answer is {problem['answer']}:", ""]
    lines += fenced(problem["question"])
    for condition in COLOURS:
        for run in runs_of(condition, table)[:1]:
            for when, rollouts in table["transcripts"][run].items():
                lines += [f"## {run}, {when}", ""]
                for number, rollout in enumerate(rollouts, 1):
                    lines += [f"{number}. {rollout['outcome']}, reward {rollout['reward']}", ""]
                    lines += fenced(rollout["text"])
    return "\n".join(lines)


def show(models: dict[str, dict[str, Any]], path: Path) -> None:
    """Write the figure beside the table, and each model's transcripts into a folder of its name."""
    draw(models, path.with_suffix(".svg"))
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    for name, table in models.items():
        (folder / f"{name}.md").write_text(transcripts(name, table), encoding="utf-8")


def main() -> None:
    """Draw a table that was measured before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    options = parser.parse_args()
    show(json.loads(options.json.read_text()), options.json)


if __name__ == "__main__":
    main()
