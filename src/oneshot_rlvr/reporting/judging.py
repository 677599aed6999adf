"""Pages of path selectors: which is right, and why it chose so; what ways of asking change."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from oneshot_rlvr.files import write_atomically
from oneshot_rlvr.reporting.figures import as_text

Row = Mapping[str, Any]
LINES = ("random", "majority", "oracle")  # drawn in grey: what the others are measured by
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#1d2129}"
    "table{border-collapse:collapse;font-size:13px}td,th{padding:.25em .6em;border-bottom:1px solid #dde1e6;"
    "text-align:right}td:first-child,th:first-child{text-align:left}pre{white-space:pre-wrap;background:#f5f6f8;"
    "padding:.6em;border-radius:4px}.wrong{border-left:4px solid #c4453c}.right{border-left:4px solid #2f8f57}"
    "@media(prefers-color-scheme:dark){body{background:#15181d;color:#e4e7eb}pre{background:#20242b}"
    "td,th{border-color:#343a43}}"
)


def write_comparison(path: Path, rows: Mapping[str, Row], explained: Mapping[str, Row]) -> None:
    """One HTML file: the table, best-of-n, what is gained over a majority, reliability, and each selector's reasons.

    Raises:
        OneshotError: the file cannot be written.
    """
    figures = [best_of_figure(rows), over_majority_figure(rows), reliability_figure(rows)]
    drawn = [f.to_html(full_html=False, include_plotlyjs=place == 0) for place, f in enumerate(figures)]
    reasons = [_reasons(name, found) for name, found in explained.items()]
    body = ["<h1>Which answer to believe</h1>", _table(rows), *drawn, "<h2>Why each chose so</h2>", *reasons]
    write_atomically(path, _page("Path selectors", body))


def best_of_figure(rows: Mapping[str, Row]) -> go.Figure:
    """Accuracy of the pick among n candidates."""
    figure = go.Figure()
    for name, row in rows.items():
        grey = {"line": {"color": "#9aa0a8", "dash": "dot"}} if name in LINES else {}
        sizes = [int(n) for n in row["best_of"]]
        values = [100 * value for value in row["best_of"].values()]
        figure.add_scatter(x=sizes, y=values, name=as_text(name), mode="lines+markers", **grey)
    figure.update_xaxes(type="log", tickvals=sizes_of(rows), title="Candidates n")
    figure.update_layout(title="Best of n", yaxis_title="Right (%)", template="plotly_white", height=480)
    return figure


def sizes_of(rows: Mapping[str, Row]) -> list[int]:
    """The n of best-of-n."""
    return sorted({int(n) for row in rows.values() for n in row["best_of"]})


def over_majority_figure(rows: Mapping[str, Row]) -> go.Figure:
    """What each gains over a majority vote, with its interval."""
    shown = [(name, row) for name, row in rows.items() if name not in ("majority", "oracle")]
    shown.sort(key=lambda pair: pair[1]["over_majority"])
    gains = [100 * row["over_majority"] for _, row in shown]
    above, below = (
        [abs(100 * row["interval"][end] - 100 * row["over_majority"]) for _, row in shown] for end in (1, 0)
    )
    bars = {"type": "data", "array": above, "arrayminus": below, "symmetric": False, "color": "#9aa0a8"}
    figure = go.Figure()
    figure.add_scatter(x=gains, y=[as_text(name) for name, _ in shown], error_x=bars, mode="markers")
    figure.add_vline(x=0, line={"color": "#9aa0a8"})
    n = shown[0][1]["n"] if shown else 8
    title = f"Best of {n} less majority vote at {n} (points, 95 %)"
    figure.update_layout(title=title, template="plotly_white", height=140 + 24 * len(shown), margin={"l": 230})
    return figure


def reliability_figure(rows: Mapping[str, Row]) -> go.Figure:
    """The share that is right against the probability that was said."""
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": "#9aa0a8", "dash": "dot"}, showlegend=False)
    for name, row in rows.items():
        bins = row["reliability"]
        if name not in LINES:
            figure.add_scatter(
                x=[b["said"] for b in bins], y=[b["right"] for b in bins], name=as_text(name), mode="lines+markers"
            )
    axes = {"xaxis_title": "Probability that was said", "yaxis_title": "Share that is right"}
    figure.update_layout(title="Reliability", template="plotly_white", height=480, **axes)
    return figure


def write_prompts(path: Path, rows: Sequence[Row]) -> None:
    """One HTML file: avg@k, majority and pass@k of each way of asking, against temperature.

    Raises:
        OneshotError: the file cannot be written.
    """
    write_atomically(path, prompts_figure(rows).to_html(include_plotlyjs=True))


def prompts_figure(rows: Sequence[Row]) -> go.Figure:
    """Lines over temperature: a colour a template and number of examples, a dash a measure."""
    figure = go.Figure()
    ways = list(dict.fromkeys((row["template"], row["shots"]) for row in rows))
    colours = ("#3b6fd4", "#d4593b", "#2f8f57", "#8a57c9", "#b8860b", "#4a5058")
    for place, (template, shots) in enumerate(ways):
        own = sorted(
            (r for r in rows if (r["template"], r["shots"]) == (template, shots)), key=lambda r: r["temperature"]
        )
        for key, says, dash in (
            ("accuracy", "avg@k", "solid"),
            ("majority", "maj@k", "dash"),
            ("any", "pass@k", "dot"),
        ):
            figure.add_scatter(
                x=[row["temperature"] for row in own],
                y=[100 * row[key] for row in own],
                name=as_text(f"{template}, {shots} examples, {says}"),
                mode="lines+markers",
                line={"dash": dash, "color": colours[place % len(colours)]},
            )
    axes = {"xaxis_title": "Temperature", "yaxis_title": "Right (%)", "template": "plotly_white"}
    figure.update_layout(title="Ways of asking", **axes)
    return figure


def _page(title: str, body: Sequence[str]) -> str:
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'


def _table(rows: Mapping[str, Row]) -> str:
    sizes = [str(n) for n in sizes_of(rows)]
    names = ("AUROC", "within a problem", "AUPRC", "balanced", "ECE", "Brier", *(f"best of {n}" for n in sizes))
    last = ("gap closed", "over majority", "rescues", "breaks", "ties", "tokens")
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("selector", *names, *last))
    lines = [f"<tr>{head}</tr>"]
    for name, row in rows.items():
        shares = [row[key] for key in ("auroc", "auroc_within", "auprc", "balanced_accuracy", "ece", "brier")]
        cells = ["-" if value is None else f"{value:.3f}" for value in shares]
        cells += [f"{100 * row['best_of'][n]:.1f}" for n in sizes]
        low, high = row["interval"]
        cells.append("-" if row["gap_closed"] is None else f"{100 * row['gap_closed']:.0f} %")
        cells.append(f"{100 * row['over_majority']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})")
        cells += [f"{100 * row[key]:.1f}" for key in ("rescues", "breaks", "ties")]
        cells.append(f"{row['tokens']['sampled']:.0f} + {row['tokens']['read']:.0f}")
        lines.append(f"<tr><td>{html.escape(name)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _reasons(name: str, found: Row) -> str:
    parts = [f"<details><summary>{html.escape(name)}</summary>"]
    if found["weights"]:
        lines = "".join(f"<tr><td>{html.escape(n)}</td><td>{w:+.2f}</td></tr>" for n, w in found["weights"])
        parts.append(f"<p>Its largest weights, of standardised features:</p><table>{lines}</table>")
    for end, says in (("highest", "Believed most"), ("lowest", "Believed least")):
        parts.append(f"<p>{says}, one a problem:</p>")
        for row in found[end]:
            kind = "right" if row["right"] else "wrong"
            said = f"P(right) {row['probability']:.3f}, it is {kind}; gold {row['gold']}"
            asked = html.escape(row["question"][:400])
            parts.append(f"<p>{asked}<br>{html.escape(said)}</p><pre class={kind!r}>{_coloured(row)}</pre>")
    return "".join((*parts, "</details>"))


def _coloured(row: Row) -> str:
    """A path's text, each piece in the colour of what is believed having read it: red below one half, green above."""
    text, pieces, start = row["text"], [], 0
    for end, chance in row["along"]:
        if end > len(text):
            break
        strength = min(abs(chance - 0.5) * 1.2, 0.6)
        colour = f"rgba(47,143,87,{strength:.2f})" if chance >= 0.5 else f"rgba(196,69,60,{strength:.2f})"
        piece = html.escape(text[start:end])
        pieces.append(f'<span style="background:{colour}" title="{chance:.2f}">{piece}</span>')
        start = end
    return "".join((*pieces, html.escape(text[start:])))
