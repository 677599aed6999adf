"""The page's figures as Plotly specifications. Colours are roles that the page fills in for light and dark."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from oneshot_rlvr.grading.features import mean
from oneshot_rlvr.problems.benchmarks import title_of
from oneshot_rlvr.reporting.collect import Curve, Group, RunData
from oneshot_rlvr.reporting.tables import kind_of
from oneshot_rlvr.runs import ModelScores, Score

Figure = dict[str, Any]
ROLES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")  # groups in order; base is grey
POINTS = 250  # of a curve at most; a page of twenty long runs stays quick
DASHES = ("solid", "dash", "dot", "dashdot")  # when there are more groups than colours

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
    ("tokens/per_second", "Throughput (response tokens a second)"),
    ("time/sample_s", "Sampling (seconds a step)"),
    ("time/update_s", "Update (seconds a step)"),
    ("memory/peak_gib", "Peak memory (GiB)"),
)
SHAPES = (
    ("length", "Response length (tokens)"),
    ("reflection", "Reflection fraction"),
    ("boxed", "Boxed fraction"),
    ("no_answer", "No answer"),
    ("truncated", "Truncated fraction"),
)


def style(index: int) -> tuple[str, str]:
    """A group's colour and dash."""
    return ROLES[index % len(ROLES)], DASHES[index // len(ROLES) % len(DASHES)]


def as_text(label: str) -> str:
    """A label that Plotly shows as it is: it would read tags in it."""
    return html.escape(label, quote=False)


def _figure(traces: list[dict[str, Any]], x: str, y: str, **layout: Any) -> Figure:
    return {
        "data": traces,
        "layout": {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}, "rangemode": "tozero"}, **layout},
    }


def _line(x: Sequence[Any], y: Sequence[Any], name: str, role: str, **options: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": list(y),
        "name": as_text(name),
        "role": role,
        **options,
    }


def thinned(steps: list[int], values: list[float], most: int = POINTS) -> tuple[list[int], list[float]]:
    """A long curve as the means of `most` stretches or fewer, each at its last step."""
    size = -(-len(steps) // most) if steps else 1
    stretches = [slice(start, start + size) for start in range(0, len(steps), size)]
    return [steps[part][-1] for part in stretches], [sum(values[part]) / len(values[part]) for part in stretches]


def _group_traces(
    groups: Sequence[Group], curve: Callable[[RunData], Curve], factor: float = 1.0, **line: Any
) -> list[dict[str, Any]]:
    """A line a group; several seeds as their mean in a band from the least to the greatest."""
    traces = []
    for index, group in enumerate(groups):
        role, dash = style(index)
        steps, means, low, high = group.spread(lambda run: thinned(*curve(run)))
        if not steps:
            continue
        if len(group.runs) > 1:
            around = [factor * value for value in (*high, *reversed(low))]
            band = _line([*steps, *reversed(steps)], around, group.name, role, fill="toself", band=True)
            traces.append({**band, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False})
        shown = {"width": 2, "dash": dash, **line}
        traces.append(_line(steps, [factor * value for value in means], group.name, role, line=shown))
    return traces


def tokens_by_step(group: Group) -> list[list[float]]:
    """Steps, and the response tokens (in thousands) that the group's first run had sampled by each."""
    steps, lengths = group.runs[0].curve("response/length_mean")
    values = group.runs[0].configuration["batch"]
    sampled = dict(zip(*group.runs[0].curve("group/sampled"), strict=True))
    tokens = dict(zip(*group.runs[0].curve("tokens/sampled"), strict=True))
    total, sums = 0.0, []
    for step, length in zip(steps, lengths, strict=True):
        usual = length * sampled.get(step, values["groups_per_step"]) * values["group_size"]
        total += tokens.get(step) or usual
        sums.append(round(total / 1000, 3))
    return [[float(step) for step in steps], sums]


def accuracy_curves(groups: Sequence[Group], suite: str) -> Figure:
    """A suite's (or the average's) accuracy over steps; a single run's points carry their 95 % intervals."""
    traces = _group_traces(groups, lambda run: run.score_curve(suite), width=3)
    alone = {as_text(group.name): group.runs[0] for group in groups if len(group.runs) == 1}
    for trace in traces if len(groups) <= 4 else ():
        if run := alone.get(trace["name"]):
            scores = [found.all()[suite] for found in run.over_steps.values() if suite in found.all()]
            trace |= {"mode": "lines+markers", "error_y": _interval_bars(scores)}
    return _figure(traces, "Step", f"{as_text(title_of(suite))} (%)", height=430)


def training_curves(groups: Sequence[Group]) -> Figure:
    """Accuracy on the training problems (dotted) and on validation (dashed) over steps."""
    traces = _group_traces(groups, lambda run: run.curve("outcome/correct"), 100.0, dash="dot")
    for name in {name for group in groups for run in group.runs for name in run.metric_names("validation/")}:
        found = _group_traces(groups, lambda run, name=name: run.curve(name), dash="dash")
        traces += [{**trace, "name": f"{trace['name']}: {name}", "showlegend": False} for trace in found]
    return _figure(traces, "Step", "Accuracy (%)", height=320)


def _interval_bars(scores: Sequence[Score]) -> dict[str, Any]:
    """Error bars from a score to the ends of its interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [score.interval[1] - score.accuracy for score in scores],
        "arrayminus": [score.accuracy - score.interval[0] for score in scores],
        "thickness": 1.2,
        "width": 3,
    }


def heat_map(runs: Sequence[RunData], field: str, gain: bool) -> Figure | None:
    """Accuracy (or its gain over the base, in points) of each run's chosen checkpoint, by category or level."""
    rows: list[tuple[str, dict[str, float]]] = []
    base: dict[str, float] = {}
    for run in runs:
        base = base if run.base is None else _by(run.base, field)
        wanted = [(run.base, "base")] if run is runs[0] and not gain else []
        for scores, label in (*wanted, (run.best, f"{run.name}: {kind_of(run)}")):
            found = {} if scores is None else _by(scores, field)
            if gain:
                found = {name: value - base[name] for name, value in found.items() if name in base}
            if found:
                rows.append((label, found))
    columns = sorted({name for _, found in rows for name in found})
    if not columns:
        return None
    cells = [[found.get(name) for name in columns] for _, found in rows]
    text = [["" if value is None else f"{value:+.0f}" if gain else f"{value:.0f}" for value in row] for row in cells]
    trace = {
        "type": "heatmap",
        "x": [as_text(c) for c in columns],
        "y": [as_text(label) for label, _ in rows],
        "z": cells,
        "text": text,
    }
    trace |= {"texttemplate": "%{text}", "colorscale": "RdBu" if gain else "Blues", "hoverongaps": False}
    trace |= {"reversescale": True, **({"zmid": 0} if gain else {"zmin": 0, "zmax": 100})}
    height = 130 + 34 * len(rows)
    return {"data": [trace], "layout": {"height": height, "yaxis": {"autorange": "reversed"}, "xaxis": {"title": {}}}}


def _by(scores: ModelScores, field: str) -> dict[str, float]:
    return {name: part.accuracy for name, part in scores.average.by.get(field, {}).items()}


def small_multiples(groups: Sequence[Group], trained: bool) -> list[tuple[str, Figure]]:
    """One small figure for each metric of the rollouts, or of the evaluated responses, that was recorded."""
    figures = []
    for name, title in DYNAMICS if trained else SHAPES:

        def curve(run: RunData, name: str = name) -> Curve:
            return run.curve(name) if trained else run.score_curve("average", lambda score: getattr(score, name))

        if traces := _group_traces(groups, curve):
            figures.append((title, _figure(traces, "Step", "", height=230, showlegend=False)))
    return figures


def mean_by_visit(curves: Sequence[Sequence[float]]) -> list[float]:
    """The mean of the curves at each visit, of those that have it, in percent."""
    visits = max(len(curve) for curve in curves)
    return [100 * mean([curve[i] for curve in curves if i < len(curve)]) for i in range(visits)]


def selection_figure(ranking: Sequence[dict[str, Any]], history: dict[str, list[float]], chosen: str) -> Figure:
    """The chosen problem's accuracy at each visit, beside the pool's mean."""
    pool = mean_by_visit(list(history.values()))
    traces = [
        _line(range(1, len(pool) + 1), pool, "pool, mean", "base", line={"width": 2}),
        _line(
            range(1, len(history[chosen]) + 1),
            [100 * v for v in history[chosen]],
            f"{chosen} (pi_1)",
            "first",
            line={"width": 3},
        ),
    ]
    return _figure(traces, "Visit (epoch)", "Training accuracy (%)", height=300)
