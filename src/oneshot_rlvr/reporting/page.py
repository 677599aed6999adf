"""Write the page: Jinja with autoescape for every text, figures as inert JSON, Plotly embedded. Nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import plotly.offline
from markupsafe import Markup

from oneshot_rlvr.config import flatten
from oneshot_rlvr.files import write_atomically
from oneshot_rlvr.problems.benchmarks import title_of
from oneshot_rlvr.reporting import figures as draw
from oneshot_rlvr.reporting.collect import RunData, collect_all, grouped
from oneshot_rlvr.reporting.findings import write_findings
from oneshot_rlvr.reporting.mathematics import answer, with_mathematics
from oneshot_rlvr.reporting.selector_findings import selector_findings
from oneshot_rlvr.reporting.tables import headings, kind_of, left_out, papers, results
from oneshot_rlvr.sealing import read_record

CONFIGURATIONS = 4  # of how many runs the page holds the whole configuration


def inert_json(value: Any) -> Markup:
    """JSON that cannot close a script element or open anything in it."""
    text = json.dumps(value, ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def write_report(
    paths: Sequence[Path],
    out: Path,
    title: str = "oneshot-rlvr",
    selection: Path | None = None,
    texts: bool = True,
    protocol: str | None = None,
    selectors: Sequence[Path] = (),
) -> Path:
    """Write one HTML page about the runs at `paths`, the first of which is the one it is about.

    With `texts`, `findings.md`, `slides.md` and `script.md` beside it, named after the page unless it is `report.html`;
    they tell of the path selectors in the folders `selectors` too.

    Raises:
        OneshotError: a folder that is no run, or a page that cannot be written.
    """
    runs = collect_all(paths, protocol)
    chosen = read_record(selection, "Run `oneshot demo` again.") if selection and selection.exists() else None
    groups = grouped(runs)
    small = {"training": draw.small_multiples(groups, True), "shape": draw.small_multiples(groups, False)}
    figures, choices = _figures(runs, small)
    if chosen:
        figures["selection"] = draw.selection_figure(chosen["ranking"], chosen["history"], chosen["selected"])
    (suites, lines), (about, paper_suites, paper_lines) = results(groups), papers()
    same = suites == paper_suites
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("oneshot_rlvr.reporting", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"mathematics": with_mathematics, "answer": answer}
    html = environment.get_template("page.html.j2").render(
        title=title,
        runs=runs,
        groups=[(group.name, *draw.style(index)) for index, group in enumerate(groups)],
        main=runs[0],
        kind=kind_of(runs[0]),
        tiles=_tiles(runs[0]),
        headings=headings(suites),
        lines=[*lines, *(paper_lines if same else [])],
        left_out=left_out(groups, suites),
        paper=about,
        paper_headings=headings(paper_suites),
        paper_lines=[] if same else paper_lines,
        selection=chosen,
        choices=choices,
        small={name: [title for title, _ in found] for name, found in small.items()},
        shown=[(run, flatten(run.configuration).items()) for run in runs[:CONFIGURATIONS]],
        figures=inert_json(figures),
        tokens=inert_json({draw.as_text(group.name): draw.tokens_by_step(group) for group in groups}),
        plotly=Markup(plotly.offline.get_plotlyjs().replace("</script", "<\\/script")),
        flatten=lambda values: flatten(values).items(),
        title_of=title_of,
    )
    write_atomically(out, html)
    if texts:
        prefix = "" if out.stem == "report" else f"{out.stem}-"
        write_findings(
            runs, groups, out.parent, prefix, lambda notes: [f for s in selectors for f in selector_findings(s, notes)]
        )
    return out


def _figures(
    runs: Sequence[RunData], small: dict[str, list[tuple[str, draw.Figure]]]
) -> tuple[dict[str, draw.Figure], dict[str, list[tuple[str, str]]]]:
    """All figures by key, and for each place with a choice its (key, label)s."""
    groups = grouped(runs)
    figures: dict[str, draw.Figure] = {"training": draw.training_curves(groups)}
    choices: dict[str, list[tuple[str, str]]] = {"curves": [], "heat": []}
    scored = next((run for run in runs if run.scores), None)
    for suite in ("average", *scored.suites) if scored else ():
        figures[f"curve-{suite}"] = draw.accuracy_curves(groups, suite)
        choices["curves"].append((f"curve-{suite}", title_of(suite)))
    for field in ("category", "level"):
        for gain in (False, True):
            if found := draw.heat_map(runs, field, gain):
                key = f"heat-{field}-{gain}"
                figures[key] = found
                choices["heat"].append((key, f"by {field}, {'gain in points' if gain else 'accuracy in %'}"))
    for name, found in small.items():
        figures |= {f"{name}-{index}": figure for index, (_, figure) in enumerate(found)}
    return figures, choices


def _tiles(main: RunData) -> list[tuple[str, str, str]]:
    """(label, figure, note) for the top of the page."""
    tiles = [("Steps", str(main.metrics[-1]["step"]), f"seed {main.configuration['run']['seed']}")]
    reward = main.curve("reward/mean")[1]
    tiles.append(("Training reward", f"{reward[0]:.2f} → {reward[-1]:.2f}", "first and last step"))
    if main.best is None or main.base is None:
        return tiles
    base, best = main.base.average, main.best.average
    for label, score, note in (("Base", base, ""), ("After", best, f"; {main.best_name}")):
        low, high = score.interval
        tiles.append(
            (f"{label}, test {score.metric}", f"{score.accuracy:.1f} %", f"95 % {low:.1f} to {high:.1f}{note}")
        )
    tiles.append(("Gain", f"{best.accuracy - base.accuracy:+.1f}", "points over the base"))
    corrected = main.summary.get("format_corrected_gain")
    if corrected is not None:
        tiles.append(("Beyond the box", f"{corrected:+.1f}", "points that boxing alone would not bring"))
    if main.summary.get("gain_after_saturation") is not None:
        gain = main.summary["gain_after_saturation"]
        tiles.append(("After saturation", f"{gain:+.1f}", f"points after step {main.summary['saturation_step']}"))
    return tiles
