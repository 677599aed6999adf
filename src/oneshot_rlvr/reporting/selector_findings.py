"""What the phases of path selectors show, as findings: ways of asking, the comparison, the closed loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import read_json
from oneshot_rlvr.reporting.findings import Finding, Notes, as_words

PLAIN = ("random", "oracle", "majority")  # what others are measured by


def selector_findings(folder: Path, notes: Notes) -> list[Finding]:
    """The findings of a folder of `oneshot paths prompts`, `selector compare` or `selector loop`.

    Raises:
        OneshotError: it holds the results of none of them.
    """
    known: dict[str, Callable[[Path, Any, Notes], Finding]] = {
        "prompts.json": _prompts,
        "comparison.json": _comparison,
        "closed.json": _closed,
    }
    found = [(folder / name, say) for name, say in known.items() if (folder / name).exists()]
    if not found:
        raise OneshotError(
            "no results of path selectors are there", where=folder, fix=f"It should hold one of: {', '.join(known)}."
        )
    try:
        return [say(path, read_json(path), notes) for path, say in found]
    except (KeyError, TypeError, IndexError, ValueError):
        raise OneshotError("not what the command wrote", where=folder, fix="Run the command again.") from None


def _prompts(path: Path, found: Any, notes: Notes) -> Finding:
    rows = found["rows"]
    sentences = []
    for key, what in (("accuracy", "One path"), ("any", "One of the candidates")):
        place = max(range(len(rows)), key=lambda i: rows[i][key])
        best, share = rows[place], notes.number(path, ["rows", str(place), key], ".1%")
        way = f"`{as_words(best['template'])}`, temperature {best['temperature']:g}, {best['shots']} examples"
        sentences.append(f"{what} is right most often with {way}: {share}.")
    return Finding("Ways of asking", sentences, f"We asked the same problems in {len(rows)} ways.")


def _comparison(path: Path, rows: Any, notes: Notes) -> Finding:
    learned = [name for name in rows if name not in PLAIN]
    best = max(learned, key=lambda name: rows[name]["over_majority"])
    n = str(rows[best]["n"])
    sentences = []
    if "majority" in rows and "oracle" in rows:
        usual, most = (notes.number(path, [name, "best_of", n], ".1%") for name in ("majority", "oracle"))
        sentences.append(f"Of {n} candidates a majority vote takes a right one {usual} of the time, an oracle {most}.")
    sentences.append(f"The best selector is {_gain(path, best, notes)}")
    one_shot = [name for name in learned if "shots=1" in name.replace("shots=16", "")]
    if one_shot and (first := max(one_shot, key=lambda name: rows[name]["over_majority"])) != best:
        sentences.append(f"The best that learned from one problem is {_gain(path, first, notes)}")
    calibrated = min(learned, key=lambda name: rows[name]["ece"])
    error = notes.number(path, [calibrated, "ece"], ".3f")
    sentences.append(f"The best calibrated is `{as_words(calibrated)}`, with an error of {error}.")
    gain = 100 * rows[best]["over_majority"]
    return Finding(
        "Which answer to believe", sentences, f"The best selector moves {gain:+.0f} points against a majority vote."
    )


def _gain(path: Path, name: str, notes: Notes) -> str:
    gain = notes.number(path, [name, "over_majority"], "+.1%")
    low, high = (notes.number(path, [name, "interval", end], "+.1%") for end in "01")
    return f"`{as_words(name)}`: {gain} against the majority (95 % {low} to {high})."


def _closed(path: Path, found: Any, notes: Notes) -> Finding:
    ways = found["ways"]
    before, after = (notes.number(path, ["ways", name, "average"], ".1%") for name in ("base", "one_shot"))
    others = [name for name in ways if "minus_one_shot" in ways[name]]
    best = max(others, key=lambda name: ways[name]["average"])
    share = notes.number(path, ["ways", best, "average"], ".1%")
    gain = notes.number(path, ["ways", best, "minus_one_shot"], "+.1%")
    low, high = (notes.number(path, ["ways", best, "interval", end], "+.1%") for end in "01")
    sentences = [
        f"The base is right {before} of the time, one-shot GRPO {after}.",
        f"Of the ways through the selector `{best}` gives most: {share}, {gain} against one-shot GRPO "
        f"(95 % {low} to {high}).",
    ]
    difference = 100 * ways[best]["minus_one_shot"]
    return Finding("The closed loop", sentences, f"Closing the loop moves {difference:+.0f} points against one-shot.")
