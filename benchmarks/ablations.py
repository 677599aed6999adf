"""The tables of `oneshot ablate` under results/ablations as one page: docs/ablations.md, from its text and the figures.

for s in table5 rewards label-free algorithms shots openseek hints models; do
    oneshot ablate $s --model organism --seeds 3 --out runs/ablations
    cp runs/ablations/table.json results/ablations/$s.json; cp runs/ablations/about.json results/ablations/$s.about.json
done
oneshot ablate headline --model second --seeds 3 --out runs/second   # kept as second.json, second.about.json
python benchmarks/ablations.py
"""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parents[1]
RESULTS, PAGE = HERE / "results" / "ablations", HERE / "docs" / "ablations.md"
BEGIN, END = "<!-- tables: made by benchmarks/ablations.py -->", "<!-- end of tables -->"
TITLES = {
    "table5": "Table 5: the loss's terms, and labels",
    "rewards": "Rewards and controls",
    "shots": "How many examples",
    "algorithms": "Algorithms",
    "label-free": "Without labels, and with a teacher",
    "openseek": "OpenSeek",
    "hints": "Problems that the base never solves",
    "models": "Three organisms",
    "second": "The headline rows on the second organism",
}


def tables() -> str:
    """A section for each suite that has been run."""
    parts = []
    for suite, title in TITLES.items():
        path = RESULTS / f"{suite}.json"
        if not path.exists():
            continue
        about = json.loads((RESULTS / f"{suite}.about.json").read_text())
        rows = json.loads(path.read_text())
        lines = [
            f"### {title}",
            "",
            f"{about['command']}, commit {about['commit'][:7]} (`results/ablations/{suite}.json`).",
            "",
        ]
        lines += [
            "| recipe | the paper says | the organism shows | gain over its base | at the last step |",
            "|---|---|---|---|---|",
        ]
        parts.append("\n".join(lines + [_line(name, row) for name, row in rows.items()]))
    return "\n\n".join(parts)


def _line(name: str, row: dict) -> str:
    low, high = row["interval"]
    said = "" if row["paper"] is None else f"{row['paper']:.1f} ({row['paper_row']})"
    gain = last = ""
    if "gain" in row:
        gain = f"{row['gain']:+.1f} ({row['gain_interval'][0]:+.1f} to {row['gain_interval'][1]:+.1f})"
        ended = f", ended at {row['last_steps']}" if row["stopped"] else ""
        last = f"{row['last']:.1f}{ended}"
    return f"| `{name}` | {said} | {row['average']:.1f} ({low:.1f} to {high:.1f}) | {gain} | {last} |"


def main() -> None:
    """Put the tables between their marks."""
    text = PAGE.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    PAGE.write_text(f"{before}\n\n{tables()}\n\n{after}")


if __name__ == "__main__":
    main()
