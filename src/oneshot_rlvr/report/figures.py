"""The page's figures as Plotly specifications. Colours are roles that the page fills in for light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oneshot_rlvr.report.collect import RunData
from oneshot_rlvr.rundir import step_of

Figure = dict[str, Any]
ROLES = ("first", "second", "third", "fourth")  # runs in order; "base" is grey

DYNAMICS = (
    ("reward/mean", "Reward"),
    ("policy/entropy", "Entropy (nats a token)"),
    ("response/length_mean", "Response length (tokens)"),
    ("response/boxed_fraction", "Boxed fraction"),
    ("response/reflection_fraction", "Reflection fraction"),
    ("group/zero_variance_fraction", "Groups without variance"),
    ("policy/kl", "KL from the base (nats a token)"),
    ("policy/grad_norm", "Gradient norm"),
    ("response/truncated_fraction", "Truncated fraction"),
)


def _figure(traces: list[dict[str, Any]], x: str, y: str, **layout: Any) -> Figure:
    return {
        "data": traces,
        "layout": {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}, "rangemode": "tozero"}, **layout},
    }


def _line(x: Sequence[Any], y: Sequence[Any], name: str, role: str, **options: Any) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": name, "role": role, **options}


def _interval_bars(scores: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Error bars from a score to the ends of its interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [score["interval"][1] - score[metric] for score in scores],
        "arrayminus": [score[metric] - score["interval"][0] for score in scores],
        "thickness": 1.2,
        "width": 3,
    }


def accuracy_curves(runs: Sequence[RunData]) -> Figure:
    """Training, validation and test accuracy over steps; the test average with its 95 % interval."""
    traces = []
    for run, role in zip(runs, ROLES, strict=False):
        steps, right = run.curve("outcome/correct")
        thin = {"dash": "dot", "width": 1.5}
        traces.append(_line(steps, [100 * r for r in right], f"{run.name}: training accuracy", role, line=thin))
        for name in run.metric_names("validation/"):
            steps, values = run.curve(name)
            traces.append(_line(steps, values, f"{run.name}: {name}", role, line={"dash": "dash", "width": 1.5}))
        points = [(step_of(name), scores["average"]) for name, scores in run.scores.items()]
        if points:
            values = [score[run.metric] for _, score in points]
            error = _interval_bars([score for _, score in points], run.metric)
            line = _line(
                [s for s, _ in points], values, f"{run.name}: test {run.metric}", role, line={"width": 3}, error_y=error
            )
            traces.append({**line, "mode": "lines+markers"})
    return _figure(traces, "Step", "Accuracy (%)", height=430)


def suite_bars(runs: Sequence[RunData]) -> Figure | None:
    """Each suite before and after, with 95 % intervals."""
    scored = [(run, role) for run, role in zip(runs, ROLES, strict=False) if run.best_name]
    if not scored:
        return None
    first = scored[0][0]
    bars = [("base", first.scores["base"], "base", first.metric)] if "base" in first.scores else []
    for run, role in scored:
        assert run.best_name
        bars.append((f"{run.name}, {run.best_name.replace('_', ' ')}", run.scores[run.best_name], role, run.metric))
    traces = []
    for name, scores, role, metric in bars:
        suites = list(scores)
        values = [scores[suite][metric] for suite in suites]
        error = _interval_bars(list(scores.values()), metric)
        labels = [suite.removeprefix("organism:") for suite in suites]
        traces.append({"type": "bar", "x": labels, "y": values, "name": name, "role": role, "error_y": error})
    return _figure(traces, "Suite", f"{first.metric} (%)", barmode="group", height=400)


def dynamics(runs: Sequence[RunData]) -> list[tuple[str, Figure]]:
    """One small figure for each metric of the training dynamics that was recorded."""
    figures = []
    for name, title in DYNAMICS:
        traces = []
        for run, role in zip(runs, ROLES, strict=False):
            steps, values = run.curve(name)
            if steps:
                traces.append(_line(steps, values, run.name, role, line={"width": 2}))
        if traces:
            figures.append((title, _figure(traces, "Step", "", height=230, showlegend=False)))
    return figures


def selection_figure(ranking: Sequence[dict[str, Any]], history: dict[str, list[float]], chosen: str) -> Figure:
    """The chosen problem's accuracy at each visit, beside the pool's mean."""
    visits = max(len(values) for values in history.values())
    pool = [[values[i] for values in history.values() if i < len(values)] for i in range(visits)]
    traces = [
        _line(range(1, visits + 1), [100 * sum(v) / len(v) for v in pool], "pool, mean", "base", line={"width": 2}),
        _line(
            range(1, len(history[chosen]) + 1),
            [100 * v for v in history[chosen]],
            f"{chosen} (pi_1)",
            "first",
            line={"width": 3},
        ),
    ]
    return _figure(traces, "Visit (epoch)", "Training accuracy (%)", height=300)
