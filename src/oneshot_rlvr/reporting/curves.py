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
