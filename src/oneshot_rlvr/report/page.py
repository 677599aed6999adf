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
from oneshot_rlvr.report.collect import RunData, collect
from oneshot_rlvr.report.figures import accuracy_curves, dynamics, selection_figure, suite_bars
from oneshot_rlvr.rundir import read_json, write_atomically


def inert_json(value: Any) -> Markup:
    """JSON that cannot close a script element or open anything in it."""
    text = json.dumps(value, ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def write_report(paths: Sequence[Path], out: Path, title: str = "oneshot-rlvr", selection: Path | None = None) -> Path:
    """Write one HTML page about the runs at `paths`, the first of which is the one it is about.

    Raises:
        OneshotError: a folder that is no run, or a page that cannot be written.
    """
    runs = [collect(path) for path in paths]
    chosen = read_json(selection) if selection is not None and selection.exists() else None
    figures: dict[str, Any] = {"accuracy": accuracy_curves(runs)}
    if bars := suite_bars(runs):
        figures["suites"] = bars
    if chosen:
        figures["selection"] = selection_figure(chosen["ranking"], chosen["history"], chosen["selected"])
    small = dynamics(runs)
    figures |= {f"dynamics-{i}": figure for i, (_, figure) in enumerate(small)}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("oneshot_rlvr.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    html = environment.get_template("page.html.j2").render(
        title=title,
        runs=runs,
        main=runs[0],
        tiles=_tiles(runs),
        table=_table(runs),
        selection=chosen,
        dynamics=[title for title, _ in small],
        has_suites="suites" in figures,
        figures=inert_json(figures),
        plotly=Markup(plotly.offline.get_plotlyjs().replace("</script", "<\\/script")),
        flatten=lambda values: flatten(values).items(),
    )
    write_atomically(out, html)
    return out


def _tiles(runs: Sequence[RunData]) -> list[tuple[str, str, str]]:
    """(label, figure, note) for the top of the page."""
    main = runs[0]
    tiles = [("Steps", str(main.metrics[-1]["step"]), f"seed {main.configuration['run']['seed']}")]
    reward = main.curve("reward/mean")[1]
    tiles.append(("Training reward", f"{reward[0]:.2f} → {reward[-1]:.2f}", "first and last step"))
    if main.best_name and "base" in main.scores:
        base, best = main.scores["base"]["average"], main.scores[main.best_name]["average"]
        low, high = best["interval"]
        tiles.append(
            (
                f"Base, test {main.metric}",
                f"{base[main.metric]:.1f} %",
                f"95 % {base['interval'][0]:.1f} to {base['interval'][1]:.1f}",
            )
        )
        tiles.append(
            (
                f"After, test {main.metric}",
                f"{best[main.metric]:.1f} %",
                f"95 % {low:.1f} to {high:.1f}; {main.best_name}",
            )
        )
        tiles.append(("Gain", f"{best[main.metric] - base[main.metric]:+.1f}", "points over the base"))
    return tiles


def _table(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """A row for each model that the suites were asked of."""
    rows = []
    for run in runs:
        names = (["base"] if run is runs[0] and "base" in run.scores else []) + (
            [run.best_name] if run.best_name else []
        )
        for name in names:
            label = "base" if name == "base" else f"{run.name}, {name}"
            rows.append({"label": label, "metric": run.metric, "scores": run.scores[name]})
    return rows
