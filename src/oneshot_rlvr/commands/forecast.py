"""`oneshot select probe`, `fit`, `forecast`, `check`: an untried problem's gain, from a probe of 4 % of a run."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oneshot_rlvr.commands.options import ModelName
from oneshot_rlvr.commands.terminal import Quiet, Settings, plain
from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oneshot_rlvr.commands.probing import Probing
    from oneshot_rlvr.selection.forecast import Prediction, Tried
    from oneshot_rlvr.selection.probes import Probe, ProbeFile

log = logging.getLogger(__name__)
SEED = 1000  # a study's seeds count from 0: what a probe samples is not what a run that it forecasts will
PoolName = Annotated[str, typer.Option("--pool", help="The problem file or named set that they are of.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of problems.")]
Recipe = Annotated[str, typer.Option(help="How each would be trained.")]
Study = Annotated[Path, typer.Argument(help="A folder of `oneshot select study`.")]
ProbesFile = Annotated[Path, typer.Option("--probes", help="A file of `oneshot select probe`.")]
Seed = Annotated[int, typer.Option(help="Of the probe's rollouts; by default none that a run is likely to have.")]
HeldOut = Annotated[int, typer.Option(min=1, help="How many held-out problems are asked before and after a burst.")]


def probe(
    ids: Ids = None,
    pool: PoolName = "organism",
    study: Annotated[Path | None, typer.Option(help="Probe the problems of this study instead.")] = None,
    model: ModelName = "organism",
    recipe: Recipe = "grpo",
    held_out: HeldOut = 128,
    seed: Seed = SEED,
    out: Annotated[Path, typer.Option(help="Folder; probes.json is written there.")] = Path("runs/probes"),
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Probe problems: a few steps of rollouts, one gradient, a short fast burst. All of the pool unless named."""
    from oneshot_rlvr.commands.probing import Probing
    from oneshot_rlvr.problems import find_problems
    from oneshot_rlvr.selection.probes import ProbeFile, write_probes

    if ids and study is not None:
        raise OneshotError("problems by id, and a study", where="--study", fix="Give one of them.")
    if study is not None:
        measured = _measured(study)
        measured.refuse_others(model, recipe, "--model, --recipe")
        wanted = [row["id"] for row in measured.gains]
    else:
        wanted = ids or [p.id for p in find_problems(pool)]
    probing = Probing(out, pool, held_out, model, recipe, seed, settings or ())
    found = _probed(wanted, probing, quiet)
    questions = {key: probing.problems[key].question for key in found}
    write_probes(out / "probes.json", ProbeFile(model, recipe, found, questions))
    cost = max(one.cost for one in found.values())
    once = f"the pool's gradient, made once, {100 * probing.once:.1f} %"
    print(plain(f"{len(found)} probes, {100 * cost:.1f} % of a run each, {once}: {out}/probes.json"))


def fit(
    study: Study,
    probes: ProbesFile,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("forecast.json"),
) -> None:
    """Fit a forecast on a study's measured gains; says how well it does on problems left out."""
    import numpy as np

    from oneshot_rlvr.selection.forecast import Forecaster
    from oneshot_rlvr.selection.probes import read_probes
    from oneshot_rlvr.selection.study import skill_of_left_out

    known = read_probes(probes)
    kept, gains = _joined(study, known, probes)
    fitted = Forecaster.fit(kept, gains)
    guessed = fitted.left_out()
    correlation, _ = skill_of_left_out(guessed, gains)
    fitted.write(out, {"model": known.model, "recipe": known.recipe, "problems": len(gains)})
    error, spread = np.std(np.subtract(guessed, gains)), np.std(gains)
    said = "-" if correlation is None else f"{correlation:.2f}"
    print(plain(f"{len(gains)} problems; left out in turn: Spearman {said}, error {error:.1f} of {spread:.1f} points"))


def forecast(
    ids: Annotated[list[str], typer.Argument(help="Ids of problems.")],
    pool: PoolName = "organism",
    model: ModelName = "organism",
    recipe: Recipe = "grpo",
    fitted: Annotated[Path | None, typer.Option(help="A file of `oneshot select fit`; else the organism's.")] = None,
    held_out: HeldOut = 128,
    seed: Seed = SEED,
    out: Annotated[Path, typer.Option(help="Folder in which probes are kept.")] = Path("runs/probes"),
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """The gain to expect of problems that nobody has trained on, with 90 % intervals, from a probe of each."""
    from oneshot_rlvr.commands.probing import Probing
    from oneshot_rlvr.selection.forecast import Forecaster, Tried

    forecaster = Forecaster.read(fitted or _shipped())
    if forecaster.model not in (None, model):
        log.warning(
            "fitted on %s, asked of %s: read the order, not the points (docs/selection.md: how another model fared)",
            forecaster.model,
            model,
        )
    probing = Probing(out, pool, held_out, model, recipe, seed, settings or ())
    found = _probed(ids, probing, quiet or as_json)
    tried = [Tried(one, probing.problems[key].question) for key, one in found.items()]
    predicted = dict(zip(found, forecaster.predict(tried), strict=True))
    order = sorted(predicted, key=lambda key: -predicted[key].gain)
    if as_json:
        rows = [_row(key, found[key], predicted[key]) | {"cost_once": probing.once} for key in order]
        print(json.dumps(rows, indent=1))
        return
    for key in order:
        p = predicted[key]
        print(plain(f"{key}: {p.gain:+.1f} points ({p.low:+.1f} to {p.high:+.1f})"))


def check(
    study: Study,
    probes: ProbesFile,
    fitted: Annotated[Path | None, typer.Option(help="A file of `oneshot select fit`; else the organism's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write what was found as JSON.")] = None,
) -> None:
    """Put a forecast to a study that it has not seen: Spearman correlation, and how many intervals hold."""
    from oneshot_rlvr.files import write_json
    from oneshot_rlvr.selection.forecast import Forecaster, coverage_of
    from oneshot_rlvr.selection.probes import read_probes
    from oneshot_rlvr.selection.study import correlated

    known = read_probes(probes)
    kept, gains = _joined(study, known, probes)
    forecaster = Forecaster.read(fitted or _shipped())
    if forecaster.saw(kept, gains):
        raise OneshotError(
            "the forecast was fitted on problems of this study",
            where=study,
            fix="Check it on a study of another model.",
        )
    predicted = forecaster.predict(kept)
    correlation, interval = correlated([p.gain for p in predicted], gains)
    found: dict[str, Any] = {
        "problems": len(gains),
        "spearman": correlation,
        "interval": interval,
        "coverage": coverage_of(predicted, gains),
        "bias": sum(p.gain - gain for p, gain in zip(predicted, gains, strict=True)) / len(gains),
    }
    if out is not None:
        write_json(out, found)
    said = (
        "-"
        if correlation is None or interval is None
        else f"{correlation:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"
    )
    print(f"{len(gains)} problems: Spearman {said}, {100 * found['coverage']:.0f} % of the 90 % intervals hold,")
    print(f"forecasts are {found['bias']:+.1f} points off on average")


def _probed(ids: Sequence[str], probing: Probing, quiet: bool) -> dict[str, Probe]:
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.files import locked

    with locked(probing.out, "probe"), Reporter(quiet).task("Probes", len(ids)) as task:
        return probing.run(ids, lambda name, done, total: task.update(done, name, total))


def _shipped() -> Path:
    from oneshot_rlvr.organism import FORECAST

    return FORECAST


def _row(key: str, probe: Probe, predicted: Prediction) -> dict[str, Any]:
    return {"id": key, "gain": predicted.gain, "interval": [predicted.low, predicted.high], "cost": probe.cost}


@dataclass(frozen=True)
class _Measured:
    """A study's problems with what each gained, and of what model and recipe."""

    path: Path
    model: str
    recipe: str
    gains: list[dict[str, Any]]

    def refuse_others(self, model: str, recipe: str, where: str) -> None:
        """Raise where these are another model's, or another recipe's."""
        if (model, recipe) != (self.model, self.recipe):
            raise OneshotError(
                f"{model} by {recipe}, and a study of {self.model} by {self.recipe}",
                where=where,
                fix=f"Probe it as it was trained: oneshot select probe --study {self.path} --model {self.model}.",
            )


def _measured(study: Path) -> _Measured:
    from oneshot_rlvr.files import read_json

    fix = "Give a folder of `oneshot select study`."
    found = read_json(study / "selection.json", fix)
    values: dict[str, Any] = found if isinstance(found, dict) else {}
    model, recipe, rows = (values.get(key) for key in ("model", "recipe", "gains"))
    named = isinstance(model, str) and isinstance(recipe, str)
    if not named or not isinstance(rows, list) or not rows or not all(map(_is_gain, rows)):
        raise OneshotError("not a study's result", where=study / "selection.json", fix=fix)
    return _Measured(study, model, recipe, rows)


def _is_gain(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), str) and isinstance(row.get("gain"), int | float)


def _joined(study: Path, known: ProbeFile, where: Path) -> tuple[list[Tried], list[float]]:
    """Each problem's probe and question, and its gain."""
    from oneshot_rlvr.selection.forecast import Tried

    measured = _measured(study)
    measured.refuse_others(known.model, known.recipe, str(where))
    for row in measured.gains:
        if row["id"] not in known.probes:
            raise OneshotError(
                f"no probe of {row['id']!r}", where=where, fix=f"Make them: oneshot select probe --study {study}."
            )
    ids = [row["id"] for row in measured.gains]
    return [Tried(known.probes[key], known.questions[key]) for key in ids], [
        float(row["gain"]) for row in measured.gains
    ]
