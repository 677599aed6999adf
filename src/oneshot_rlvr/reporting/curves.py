"""Pages of `oneshot select`: the chosen problems' training accuracy; what each problem of a study gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from oneshot_rlvr.files import write_atomically
from oneshot_rlvr.reporting.figures import as_text, mean_by_visit

Curve = Sequence[float]


def write_curves(path: Path, title: str, chosen: Sequence[tuple[str, Curve]], pool: Sequence[Curve]) -> None:
    """One HTML file with everything in it: the curves [visits] of those chosen, in %, and the mean of the pool's.

    Raises:
        OneshotError: the file cannot be written.
    """
    figure, mean = go.Figure(), mean_by_visit(pool)
    figure.add_scatter(x=list(range(1, len(mean) + 1)), y=mean, name="all, mean", line={"color": "#9aa0a8", "width": 3})
    for name, curve in chosen:
        figure.add_scatter(x=list(range(1, len(curve) + 1)), y=[100 * value for value in curve], name=as_text(name))
    axes = {"xaxis_title": "Visit (epoch)", "yaxis_title": "Training accuracy (%)", "template": "plotly_white"}
    figure.update_layout(title=as_text(title), **axes)
    write_atomically(path, figure.to_html(include_plotlyjs=True))


def write_gains(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One HTML file: each problem's gain over the base, in points, with its interval, against its rank by std.

    Raises:
        OneshotError: the file cannot be written.
    """
    gains = [row["gain"] for row in rows]
    ends = list(zip(*(row["gain_interval"] for row in rows), strict=True))
    above, below = ([abs(end - gain) for end, gain in zip(ends[side], gains, strict=True)] for side in (1, 0))
    bars = {"type": "data", "array": above, "arrayminus": below, "symmetric": False, "color": "#c9ced6"}
    figure = go.Figure()
    names = [as_text(row["id"]) for row in rows]
    figure.add_scatter(x=[row["rank"] for row in rows], y=gains, error_y=bars, text=names, mode="markers")
    axes = {"xaxis_title": "Rank by std", "yaxis_title": "Gain over the base (points)", "template": "plotly_white"}
    figure.update_layout(title=f"What {len(rows)} problems give, each alone", **axes)
    write_atomically(path, figure.to_html(include_plotlyjs=True))


def write_sizes(path: Path, sizes: Mapping[str, Mapping[str, Any]], pool: Mapping[str, Any] | None) -> None:
    """One HTML file: the average after training on so many problems, chosen or by chance, beside the whole pool's.

    Raises:
        OneshotError: the file cannot be written.
    """
    figure = go.Figure()
    for name, rows in sizes.items():
        known = [(int(size), row) for size, row in rows.items() if row is not None]
        above, below = ([abs(row["interval"][end] - row["average"]) for _, row in known] for end in (1, 0))
        bars = {"type": "data", "array": above, "arrayminus": below, "symmetric": False}
        figure.add_scatter(
            x=[size for size, _ in known], y=[row["average"] for _, row in known], error_y=bars, name=as_text(name)
        )
    if pool is not None:
        figure.add_hline(y=pool["average"], line={"color": "#9aa0a8", "dash": "dash"}, annotation_text="the whole pool")
    axes = {"xaxis_title": "Problems trained on", "yaxis_title": "Average (%)", "template": "plotly_white"}
    figure.update_xaxes(type="log", tickvals=sorted({int(size) for rows in sizes.values() for size in rows}))
    figure.update_layout(title="How few problems", **axes)
    write_atomically(path, figure.to_html(include_plotlyjs=True))
