"""`findings.md`, `slides.md` and `script.md`, generated: every number is read from a file, which a footnote names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oneshot_rlvr.files import read_json, write_atomically
from oneshot_rlvr.problems.benchmarks import title_of
from oneshot_rlvr.reporting.collect import Group, RunData
from oneshot_rlvr.reporting.tables import kind_of
from oneshot_rlvr.runs import BASE, ModelScores

SEPARATOR = " › "


@dataclass
class Notes:
    """Footnotes: where each number of a text stands, as seen from the folder of the text."""

    beside: Path
    sources: list[str] = field(default_factory=list)
    files: dict[Path, Any] = field(default_factory=dict)

    def number(self, path: Path, keys: Sequence[str], form: str = ".1f") -> str:
        """A number of a JSON file, formatted, with its footnote.

        Only what stands in the file is written; a missing key is a broken invariant.
        """
        if path not in self.files:
            self.files[path] = read_json(path)
        value = self.files[path]
        for key in keys:
            value = value[int(key)] if isinstance(value, list) else value[key]
        source = f"{os.path.relpath(path, self.beside)}: {SEPARATOR.join(keys)} as {form}"
        if source not in self.sources:
            self.sources.append(source)
        return f"{value:{form}}[^{self.sources.index(source) + 1}]"

    def footnotes(self) -> str:
        """The list for the end of the text."""
        return "\n".join(f"[^{i}]: `{source}`" for i, source in enumerate(self.sources, 1))


@dataclass(frozen=True)
class Finding:
    """A heading, what it says in sentences with footnotes, and how one would say it aloud."""

    heading: str
    sentences: list[str]
    aloud: str


def findings_of(run: RunData, notes: Notes) -> list[Finding]:
    """What one run shows. A run that was not evaluated shows its training alone."""
    found = [_training(run)]
    if run.best is not None and run.base is not None:
        found += [_main(run, notes), _format(run, notes), *_after(run, notes)]
        found += [f for name in ("category", "level") if (f := _by(run, name, notes))]
        found.append(_shape(run, notes))
    return found


def _scores(run: RunData) -> Path:
    return run.evaluation.scores_path


def _summary(run: RunData) -> Path:
    return run.evaluation.summary_path


def _pair(run: RunData) -> tuple[ModelScores, ModelScores]:
    """Before and after, of a run that has both."""
    assert run.base is not None
    assert run.best is not None
    return run.base, run.best


def _training(run: RunData) -> Finding:
    steps = run.metrics[-1]["step"]
    kind, seed = as_words(kind_of(run)), run.configuration["run"]["seed"]
    text = f"`{run.name}`: {kind}, {steps} steps of {run.configuration['recipe']} from seed {seed} (`{run.path}`)."
    return Finding("What was done", [text], f"This run trained on {kind} for {steps} steps.")


def _main(run: RunData, notes: Notes) -> Finding:
    path, best = _scores(run), run.best_name or ""
    before, after = _pair(run)

    def score(name: str, metric: str) -> str:
        low, high = (notes.number(path, [name, "average", "interval", end]) for end in "01")
        return f"{notes.number(path, [name, 'average', metric])} % (95 % {low} to {high})"

    suites = len(run.suites)
    sentences = [
        f"Over {suites} suite{'s' if suites > 1 else ''} the base reaches "
        f"{score(BASE, before.average.metric)} {before.average.metric}, "
        f"the checkpoint {best} {score(best, after.average.metric)}."
    ]
    aloud = (
        f"The base model solves {before.average.accuracy:.0f} percent; after training it is "
        f"{after.average.accuracy:.0f}."
    )
    if "gain" in run.summary:
        sentences.append(f"The gain is {notes.number(_summary(run), ['gain'], '+.1f')} points.")
        other = notes.number(_summary(run), ["gain_over_best_template"], "+.1f")
        sentences.append(f"Over the base's best template it is {other}.")
    if "best_by_test_average" in run.summary:
        top = notes.number(_summary(run), ["best_by_test_average", "average"])
        step = run.summary["best_by_test_average"]["checkpoint"]
        sentences.append(f"Chosen on the test sets themselves, as the paper does, {step} would show {top} %.")
    return Finding("Before and after", sentences, aloud)


def _format(run: RunData, notes: Notes) -> Finding:
    path, best = _scores(run), run.best_name or ""
    boxed = [notes.number(path, [name, "average", "boxed"], ".1%") for name in (BASE, best)]
    right = [notes.number(path, [name, "average", "boxed_accuracy"]) for name in (BASE, best)]
    sentences = [
        f"Responses with a box: {boxed[0]} before, {boxed[1]} after.",
        f"Of the boxed ones {right[0]} % are correct before and {right[1]} % after.",
    ]
    left = run.summary.get("format_corrected_gain")
    if left is None:
        return Finding("Is it only the format?", sentences, "How much of it is only the box is not known here.")
    corrected = notes.number(_summary(run), ["format_corrected_gain"], "+.1f")
    sentences.append(f"Beyond what boxing alone would bring the gain is {corrected} points.")
    aloud = f"Is it only the box? {left:+.0f} points are left when the box is accounted for."
    return Finding("Is it only the format?", sentences, aloud)


def _after(run: RunData, notes: Notes) -> list[Finding]:
    if "saturation_step" not in run.summary:
        return []
    step, gain = run.summary["saturation_step"], run.summary["gain_after_saturation"]
    if step is None or gain is None:
        text = "Training accuracy never reaches 95 % over five steps, or no checkpoint came after it: nothing to say."
        return [Finding("After saturation", [text], "The training accuracy never saturates in this run.")]
    first = notes.number(_summary(run), ["saturation_step"], "d")
    change = notes.number(_summary(run), ["gain_after_saturation"], "+.1f")
    sentence = f"Training accuracy saturates at step {first}; after that the test average changes by {change} points."
    aloud = f"The training problem is solved at step {step}; after it the test average moves by {gain:+.1f} points."
    return [Finding("After saturation", [sentence], aloud)]


def _by(run: RunData, name: str, notes: Notes) -> Finding | None:
    path, best = _scores(run), run.best_name or ""
    tables = [scores.average.by.get(name, {}) for scores in _pair(run)]
    shared = [value for value in tables[0] if value in tables[1]]
    if not shared:
        return None
    own = {getattr(problem, name) for problem in run.problems} if len(run.problems) == 1 else set()
    sentences, risen = [], 0
    for value in shared:
        before, after = (
            notes.number(path, [checkpoint, "average", "by", name, value, "accuracy"]) for checkpoint in (BASE, best)
        )
        mark = " (the training example's)" if value in own else ""
        sentences.append(f"{as_words(value)}{mark}: from {before} to {after} %.")
        risen += tables[1][value].accuracy > tables[0][value].accuracy
    noun = {"category": "categories", "level": "levels"}[name]
    return Finding(f"By {name}", sentences, f"{risen} of {len(shared)} {noun} rise.")


def _shape(run: RunData, notes: Notes) -> Finding:
    path, best = _scores(run), run.best_name or ""
    length = [notes.number(path, [name, "average", "length"]) for name in (BASE, best)]
    words = [notes.number(path, [name, "average", "reflection"], ".1%") for name in (BASE, best)]
    sentences = [
        f"Responses have {length[0]} tokens before and {length[1]} after.",
        f"Reflection words stand in {words[0]} of them before and in {words[1]} after.",
    ]
    before, after = (scores.average.length for scores in _pair(run))
    return Finding("Length and reflection", sentences, f"Responses go from {before:.0f} to {after:.0f} tokens.")


def as_words(text: str) -> str:
    """Anybody's text on one line, without what Markdown would read."""
    return " ".join(re.sub(r"[`\[\]<>|*_#^\\\\]", " ", text).split())


def write_findings(
    runs: Sequence[RunData],
    groups: Sequence[Group],
    out: Path,
    prefix: str = "",
    further: Callable[[Notes], list[Finding]] = lambda notes: [],
) -> None:
    """Write the three texts: about every run, the first one foremost, and what is `further` known."""
    notes = Notes(out)
    about = [(run, findings_of(run, notes)) for run in runs]
    parts = ["# Findings", "Generated by `oneshot report`. Footnotes name the file and key of each number."]
    slides, script = [f"# {runs[0].name}\n\n{as_words(kind_of(runs[0]))}"], ["# What to say", f"## 1. {runs[0].name}"]
    script.append(f"This is about {as_words(kind_of(runs[0]))}.")
    for run, found in about:
        parts.append(f"## {run.name}")
        parts += [
            f"**{one.heading}{'' if one.heading.endswith('?') else '.'}** " + _lines(one.sentences) for one in found
        ]
    more = further(notes)
    parts += ["## Path selectors"] if more else []
    parts += [f"**{one.heading}.** " + _lines(one.sentences) for one in more]
    for number, one in enumerate([*about[0][1], *more], 2):
        slides.append(f"## {one.heading}\n\n" + "\n".join(f"- {_bare(sentence)}" for sentence in one.sentences))
        script += [f"## {number}. {one.heading}", one.aloud]
    if len(groups) > 1:
        slides.append("## The runs side by side\n\n" + "\n".join(_group_line(group) for group in groups))
        script += [
            f"## {len(about[0][1]) + len(more) + 2}. The runs side by side",
            "Here are all runs of this comparison.",
        ]
    suites = ", ".join(title_of(suite) for suite in runs[0].suites) or "not evaluated"
    parts.append(f"Suites: {suites}.")
    write_atomically(out / f"{prefix}findings.md", "\n\n".join([*parts, notes.footnotes()]) + "\n")
    write_atomically(out / f"{prefix}slides.md", "\n\n---\n\n".join(slides) + "\n")
    write_atomically(out / f"{prefix}script.md", "\n\n".join(script) + "\n")


def _lines(sentences: Sequence[str]) -> str:
    return "\n".join(sentences) if len(sentences) < 4 else "\n".join(["", *(f"- {s}" for s in sentences)])


def _bare(sentence: str) -> str:
    """Without footnotes, for a slide."""
    parts = sentence.split("[^")
    return parts[0] + "".join(part.partition("]")[2] for part in parts[1:])


def _group_line(group: Group) -> str:
    values = [run.best.average.accuracy for run in group.runs if run.best is not None]
    if not values:
        return f"- {group.name}: not evaluated"
    shown = ", ".join(f"{value:.1f}" for value in values)
    return f"- {group.name} ({as_words(kind_of(group.runs[0]))}): {shown} %"
