"""The `oneshot` command: options in, one call into the package, a few lines out.

Exit codes: 0 done, 2 the user's mistake (one line, no traceback), 130 interrupted and resumable.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from oneshot_rlvr.cli_eval import eval_app
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.terminal import Mode, Quiet, Settings, ended_well, plain

app = typer.Typer(
    help="Train a reasoning model with reinforcement learning on one example, and find out why it works.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(eval_app, name="eval")


@app.callback(invoke_without_command=True)
def version_option(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Options of the command itself."""
    if version:
        print(metadata.version("oneshot-rlvr"))
        raise typer.Exit


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command."""
    return app.command()(ended_well(function))


@command
def demo(
    out: Annotated[Path, typer.Option(help="Folder for runs, scores and the report.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
    model: Annotated[str, typer.Option(help="organism, second, control, or tiny for a quick look.")] = "organism",
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """The whole paper on the organism: select a problem, train on it alone, evaluate, report. Resumable."""
    from oneshot_rlvr.demo import Demo

    summary = Demo(out, seed, model, tuple(settings or ()), quiet).run()
    table = Table(title=f"Six held-out suites, avg@8 at temperature 0.6 (seed {seed})")
    for heading in ("", "step", "average %", "95 % interval", "greedy %"):
        table.add_column(heading, justify="right" if heading else "left")
    for key, label in (
        ("base", "base"),
        ("one_shot", f"one-shot on {summary['selected']}"),
        ("full", "the whole pool"),
    ):
        row = summary[key]
        low, high = row["interval"]
        step = str(row.get("best_step", 0))
        table.add_row(label, step, f"{row['average']:.1f}", f"{low:.1f} to {high:.1f}", f"{row['greedy']:.1f}")
    Console().print(table)
    print(f"{sum(summary['seconds'].values()):.0f} s. Report: {out / 'report.html'}")


@command
def train(
    recipe: Annotated[str | None, typer.Argument(help="Recipe name (default grpo), or a YAML file.")] = None,
    model: Annotated[str | None, typer.Option(help="Model profile (default organism), folder, or hub name.")] = None,
    problems: Annotated[str | None, typer.Option(help="A .jsonl, .csv or .parquet file, or a named set.")] = None,
    question: Annotated[str | None, typer.Option(help="Train on this one problem...")] = None,
    answer: Annotated[str | None, typer.Option(help="...with this answer.")] = None,
    reward: Annotated[str | None, typer.Option(help="A reward, a weighted sum, or module:function.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default a new one under runs/.")] = None,
    steps: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    settings: Settings = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run; only --steps may change.")] = None,
    quiet: Quiet = False,
) -> None:
    """Train a model with a recipe."""
    from oneshot_rlvr import session
    from oneshot_rlvr.config import resolve
    from oneshot_rlvr.progress import Reporter, training_note
    from oneshot_rlvr.rundir import RunDir

    def on_step(step: int, total: int, metrics: dict[str, float]) -> None:
        task.update(step, training_note(metrics), total)

    if resume is not None:
        if any(given is not None for given in (recipe, model, problems, question, answer, reward, out, seed, settings)):
            raise OneshotError(
                "a resumed run keeps its configuration", where="--resume", fix="Give only --steps with it."
            )
        run = RunDir(resume)
        with Reporter(quiet).task(f"Training {resume}", steps or session.run_config(run).run.steps) as task:
            session.resume(run, steps, on_step)
    else:
        mine = session.one_problem(question, answer, problems)
        source = "command line" if mine else problems
        flags = {"data.problems": source, "algorithm.reward": reward, "run.steps": steps, "run.seed": seed}
        recipe, model = recipe or "grpo", model or "organism"
        config, sources = resolve(recipe, model, settings or [], flags)
        chosen = mine or session.chosen_problems(config)
        run = RunDir(out or _new_folder(recipe, model))
        print(f"{len(chosen)} problem{'s' if len(chosen) > 1 else ''}, {config.run.steps} steps, run folder {run.path}")
        with Reporter(quiet).task("Training", config.run.steps) as task:
            session.start(run, config, sources, chosen, on_step)
    last = run.metrics()[-1]
    print(f"step {last['step']}: reward {last['reward/mean']:.3f}")
    print(f"Next: oneshot eval {run.path}; oneshot report {run.path}")


def _new_folder(recipe: str, model: str) -> Path:
    stem = f"{Path(recipe).stem}-{Path(model).name}"
    return next(path for n in range(1, 10_000) if not (path := Path("runs") / f"{stem}-{n}").exists())


@command
def select(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_OR_HISTORY", help="A run on a pool, or a JSON accuracy history.")
    ],
    top: Annotated[int, typer.Option(min=1)] = 10,
    out: Annotated[Path | None, typer.Option(help="Write the whole ranking here as JSON.")] = None,
) -> None:
    """Rank problems by the variance of their training accuracy."""
    from oneshot_rlvr.rundir import RunDir, write_json
    from oneshot_rlvr.selection import accuracy_history, rank_by_variance, read_history

    ranking = rank_by_variance(accuracy_history(RunDir(source)) if source.is_dir() else read_history(source))
    table = Table(title=f"{len(ranking)} problems by historical variance")
    for heading in ("pi", "problem", "std", "mean", "visits"):
        table.add_column(heading, justify="right")
    for row in ranking[:top]:
        table.add_row(str(row.rank), plain(row.problem_id), f"{row.std:.4f}", f"{row.mean:.3f}", str(row.visits))
    Console().print(table)
    if out is not None:
        write_json(out, [asdict(row) for row in ranking])


@command
def problems(
    source: Annotated[
        str | None, typer.Argument(help="A problem file or named set; without it, the named sets.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
) -> None:
    """List named problem sets, or the problems of one."""
    from oneshot_rlvr.grading.audit import audit_golds, summary
    from oneshot_rlvr.problems import find_problems, named_sets

    if source is None:
        for name, path in named_sets().items():
            print(f"{name:24} {path}")
        return
    found = find_problems(source)
    print(f"{len(found)} problems")
    table = Table("id", "question", "answer")
    for problem in found[:limit]:
        table.add_row(*(plain(text) for text in (problem.id, problem.question, problem.answer)))
    Console().print(table)
    for line in summary(audit_golds(found), len(found)):
        print(plain(f"Note: {line}"))


@command
def grade(
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl", help="Rows with pred and gold; - is standard input.")],
    out: Annotated[Path | None, typer.Option(help="The rows with their grades; - is standard output.")] = None,
    mode: Mode = "default",
    versus: Annotated[str | None, typer.Option(help="A second mode: show where it disagrees.")] = None,
    answers: Annotated[bool, typer.Option(help="pred is a bare answer, no response.")] = False,
    fallback: Annotated[bool, typer.Option(help="Without a box, take 'the answer is', then the last number.")] = False,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds of symbolic work on one row.")] = 3.0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes for it.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Disagreements to list.")] = 20,
) -> None:
    """Grade any outputs again, and compare two modes on them."""
    from oneshot_rlvr.grading import Grader
    from oneshot_rlvr.grading.rows import confusion, disagreements, grade_rows, read_rows, write_rows

    def graded(name: str) -> list[dict[str, Any]]:
        with Grader(mode=name, timeout=timeout, workers=workers, answers=answers, fallback=fallback) as grader:
            return grade_rows(rows, grader)

    rows, console = read_rows(source), Console(stderr=True)
    ours = graded(mode)
    if out is not None:
        write_rows(ours, out)
    table = Table("outcome", "rows", "%", title=f"{len(rows)} rows under {mode}")
    for outcome, count in Counter(row["outcome"] for row in ours).most_common():
        table.add_row(outcome, str(count), f"{100 * count / len(rows):.1f}")
    console.print(table)
    if versus is None:
        return
    theirs = graded(versus)
    table = Table(mode, versus, "rows", title="Where two modes meet")
    for (a, b), count in confusion(ours, theirs).most_common():
        table.add_row(a, b, str(count))
    console.print(table)
    found = disagreements(ours, theirs)
    table = Table("row", "gold", f"{mode} found", mode, f"{versus} found", versus, title=f"{len(found)} disagreements")
    for number, a, b in found[:limit]:
        cells = (str(a["gold"]), str(a["extracted"]), a["outcome"], str(b["extracted"]), b["outcome"])
        table.add_row(str(number), *(plain(cell[:60]) for cell in cells))
    console.print(table)


@command
def plan(
    recipe: Annotated[str, typer.Argument(help="Recipe name, or a YAML file.")] = "grpo",
    model: Annotated[str, typer.Option(help="Model profile, folder, or hub name.")] = "organism",
    gpu: Annotated[
        str | None,
        typer.Option(help="h200 (default), h100, a100, a100-40gb, l40s, rtx4090, or cpu; of --run, its own."),
    ] = None,
    length: Annotated[float | None, typer.Option(help="Expected mean response length in tokens.")] = None,
    run: Annotated[Path | None, typer.Option(help="Compare with this run; its configuration counts.")] = None,
    settings: Settings = None,
) -> None:
    """Say what a run will take, before it starts; or how that compares with what it took."""
    from oneshot_rlvr.config import resolve
    from oneshot_rlvr.plan import make_plan, run_of, what_happened
    from oneshot_rlvr.rundir import read_json
    from oneshot_rlvr.session import run_config

    did = None if run is None else what_happened(run_of(run))
    config = resolve(recipe, model, settings or [])[0] if run is None else run_config(run_of(run))
    gpu = gpu or ("cpu" if run is not None and read_json(run / "environment.json").get("device") == "cpu" else "h200")
    planned = make_plan(config, gpu, did["mean_length"] if did else length)
    table = Table("", "plan", *(["run"] if did else []), title=f"{config.model.path} on {gpu}")
    for name, gib in planned["memory_gib"].items():
        known = did is not None and name == "peak" and did["peak"] == did["peak"]  # older runs have not recorded it
        cells = [f"{did['peak']:.2f} GiB" if did and known else ""] if did else []
        table.add_row(f"memory, {name}", f"{gib:.2f} GiB", *cells)
    for name in ("sample", "update", "step"):
        table.add_row(
            "step, whole" if name == "step" else f"step, {name}",
            f"{planned['seconds'][name]:.3g} s",
            *([f"{did[name]:.3g} s"] if did else []),
        )
    Console().print(table)
    fits = "fits" if planned["fits"] else "DOES NOT FIT"
    print(f"{fits} in {planned['memory_of_device_gib']:.0f} GiB; waves a step: {planned['seconds']['waves']}.")
    print(
        f"{config.run.steps} steps: {planned['hours']:.2g} hours, {planned['samples']:,} samples, "
        f"{planned['response_tokens']:,.0f} response tokens at a mean length of {planned['mean_length']:.0f}."
    )
    shares = planned["assumed"]
    print(
        f"Assumed, not measured: {shares['decode_share']:.0%} of the decode limit, {shares['train_share']:.0%} of peak."
    )


@command
def push(
    source: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="Of a run: what validation chose.")],
    repository: Annotated[str | None, typer.Argument(help="OWNER/NAME on the Hugging Face hub.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the folder to upload is made.")] = None,
    private: Annotated[bool, typer.Option(help="A repository that only you can see.")] = False,
) -> None:
    """Make a model folder with a card of its scores, and upload it; without a repository, only make it."""
    from oneshot_rlvr.evaluation import card

    one = card.chosen(source)
    folder = card.prepare_upload(one, out)
    print(f"Model and card: {folder}")
    if repository is None:
        print("Not uploaded: no repository was named.")
        return
    print(f"Uploaded: {card.push(folder, repository, private)}")


@command
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; the first is the page's subject.")],
    out: Annotated[Path | None, typer.Option(help="By default RUN/report.html.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Which evaluation; by default honest, else the newest.")] = None,
) -> None:
    """Write one self-contained HTML page about one or more runs, with findings, slides and their script."""
    from oneshot_rlvr.report import write_report

    page = write_report(runs, out or runs[0] / "report.html", f"Run {runs[0].resolve().name}", protocol=protocol)
    print(f"Report: {page}")


@command
def pretrain(
    preset: Annotated[str, typer.Option(help="organism, control or tiny.")] = "organism",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="By default runs/pretrained-PRESET.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Fewer steps, for a try.")] = None,
    device: str = "cpu",
    quiet: Quiet = False,
) -> None:
    """Make the organism again from its seed, with its model card."""
    from oneshot_rlvr.errors import nearest
    from oneshot_rlvr.organism.card import write_card
    from oneshot_rlvr.organism.pretrain import PRESETS
    from oneshot_rlvr.organism.pretrain import pretrain as make
    from oneshot_rlvr.policy.model import checked_device
    from oneshot_rlvr.progress import Reporter
    from oneshot_rlvr.session import commit

    if preset not in PRESETS:
        raise OneshotError(f"unknown preset {preset!r}", fix=nearest(preset, list(PRESETS)))
    folder = out or Path("runs") / f"pretrained-{preset}"
    device = checked_device(device)
    with Reporter(quiet).task("Pretraining", steps or PRESETS[preset].steps) as task:
        make(
            folder,
            preset,
            seed,
            steps,
            device,
            commit() or "unknown",
            lambda step, total, loss: task.update(step, f"loss {loss:.4f}", total),
        )
    write_card(folder)
    print(f"Model and card: {folder}")


def main() -> None:
    """Entry point of the `oneshot` command."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    app()


if __name__ == "__main__":
    main()
