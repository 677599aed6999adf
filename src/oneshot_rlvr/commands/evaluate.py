"""`oneshot eval`: evaluate a model or run; `regrade` and `compare` what was evaluated, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from oneshot_rlvr.commands.terminal import Mode, Quiet, default_group, ended_well, plain, show
from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from oneshot_rlvr.commands.progress import Task
    from oneshot_rlvr.evaluation.target import Ahead
    from oneshot_rlvr.runs import Scores

Words = Annotated[str | None, typer.Option(help="Reflection words, comma-separated; by default the paper's three.")]
Fallback = Annotated[
    bool | None,
    typer.Option("--fallback/--no-fallback", help="Without a box, take 'the answer is', then the last number."),
]
ForModels = Annotated[
    list[str] | None,
    typer.Option("--set", help="For a model, not for a run: a configuration key, e.g. --set model.template=boxed."),
]


eval_app = typer.Typer(
    cls=default_group("model"),
    help="Evaluate: oneshot eval MODEL_OR_RUN (options: oneshot eval model --help), regrade, compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@eval_app.command()
@ended_well
def model(
    target: Annotated[
        str, typer.Argument(metavar="MODEL_OR_RUN", help="Run folder, checkpoint, model folder, profile or name.")
    ],
    suite: Annotated[
        list[str] | None,
        typer.Option(help="organism, paper, openseek, a benchmark, a named set, or a file; repeatable."),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="honest, paper, released-validation, r1-8k, r1-32k or openseek.")
    ] = "honest",
    out: Annotated[Path | None, typer.Option(help="Where scores and transcripts go.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Of a run: every k-th checkpoint, and the last.")] = 1,
    samples: Annotated[int | None, typer.Option(min=1, help="k of avg@k, instead of the protocol's.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.01, help="Instead of the protocol's.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first problems of each suite.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Instead of the protocol's or the model's.")] = None,
    template: Annotated[str | None, typer.Option(help="Instead of the protocol's or the model's.")] = None,
    mode: Annotated[str | None, typer.Option(help="Grading rules instead of the protocol's.")] = None,
    fallback: Fallback = None,
    words: Words = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Sampling processes; by default a core each.")] = None,
    ray: Annotated[
        str | None, typer.Option(help="Spread over a Ray cluster: its address, auto, or local (this machine's cores).")
    ] = None,
    log: Annotated[list[str] | None, typer.Option(help="tensorboard, wandb or trackio; repeatable.")] = None,
    settings: ForModels = None,
    quiet: Quiet = False,
) -> None:
    """Accuracy of a model, or of all checkpoints of a run, with 95 % intervals. Resumable."""
    from oneshot_rlvr.commands.progress import Reporter
    from oneshot_rlvr.evaluation import get_protocol
    from oneshot_rlvr.evaluation.publish import log_scores, write_lm_eval
    from oneshot_rlvr.evaluation.target import Options, evaluate_target
    from oneshot_rlvr.runs.loggers import check_loggers

    check_loggers(log or ())
    changes = {"mode": mode, "template": template, "max_new_tokens": max_new_tokens, "fallback": fallback}
    asked = get_protocol(protocol).changed_by(changes, {"samples": samples, "temperature": temperature}, limit)
    if ray is not None and workers is not None:
        raise OneshotError("--workers and --ray were both given", fix="Give one of them.")
    options = Options(suite or (), out, every, limit, settings or (), ray or workers, **_words(words))
    print(f"Protocol {asked.name}: {asked.says}{'. Changed: ' if asked.changed else ''}{', '.join(asked.changed)}")
    with Reporter(quiet).task("Evaluating", 1) as task:
        result = evaluate_target(target, asked, options, _Progress(task))
    write_lm_eval(result.folder)
    for logger in log or ():
        log_scores(result.folder, logger)
    _show(result.scores, result.best, f"{protocol} protocol, in %")
    if dropped := sum(score.prompt_too_long or 0 for score in result.scores.first.suites.values()):
        print(f"{dropped} prompts left no room for a response and count as wrong")
    if short := sum(score.shortened for score in result.scores.first.suites.values()):
        print(f"{short} prompts left less than the asked tokens in the model's length: their responses may be shorter")
    if summary := result.folder.summary():
        _show_summary(summary)
    print(f"Scores: {result.folder.scores_path}")


class _Progress:
    """An estimate before anything is sampled; then units, and the tokens of the one that is being sampled."""

    def __init__(self, task: Task) -> None:
        self.update = task.update

    def ahead(self, work: Ahead) -> None:
        responses, most = sum(count for count, _ in work.calls), max(tokens for _, tokens in work.calls)
        print(f"To sample: {responses:,} responses of at most {most:,} tokens{_at_most(work)}", flush=True)


def _at_most(work: Ahead) -> str:
    """How long that takes where it may be long."""
    from oneshot_rlvr.commands.planner import device_here, known_shape, sampling_seconds
    from oneshot_rlvr.policy.model import is_small

    if is_small(work.config.model):
        return ""
    device, shape = device_here(work.config.model.device), known_shape(work.config.model)
    if device is None or shape is None:
        return ""
    seconds = sampling_seconds(work.config, shape, device, work.calls)
    shown = f"{seconds / 60:.0f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"
    return f",\nabout {shown} if all were so long. --limit, --samples and --max-new-tokens make it less."


def _words(words: str | None) -> dict[str, Any]:
    if words is None:
        return {}
    found = tuple(word.strip() for word in words.split(",") if word.strip())
    if not found:
        raise OneshotError("no word in the list", where="--words", fix="Give for example --words wait,recheck.")
    return {"words": found}


def _show(scores: Scores, best: int | None, title: str) -> None:
    """All checkpoints' averages; then the suites of the base and the best (else the last) one."""
    from oneshot_rlvr.problems.benchmarks import title_of
    from oneshot_rlvr.runs import step_name

    labelled, first, chosen = scores.labelled(), scores.first.average, None if best is None else step_name(best)
    votes = [name for name in (f"pass@{first.samples}", f"maj@{first.samples}", "greedy") if name in first.numbers()]
    table = Table(title=f"Average over suites, {title}")
    table.add_column("checkpoint", no_wrap=True)
    for heading in (first.metric, "95 %", *votes, "box", "len"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, found in labelled.items():
        average = found.average
        cells = [f"{average.numbers()[vote]:.1f}" for vote in votes]
        shape = f"{100 * average.boxed:.0f}", f"{average.length:.0f}"
        interval = "{:.1f} - {:.1f}".format(*average.interval)
        table.add_row(
            plain(f"{name} *" if name == chosen else name), f"{average.accuracy:.1f}", interval, *cells, *shape
        )
    show(table)
    shown = [name for name in dict.fromkeys((scores.name, chosen or list(labelled)[-1])) if name in labelled]
    table = Table("suite", *(plain(name).plain for name in shown), title="By suite, with 95 % intervals")
    for suite in labelled[shown[0]].suites:
        score = [labelled[name].suites[suite] for name in shown]
        cells = ["{:.1f} ({:.1f} to {:.1f})".format(one.accuracy, *one.interval) for one in score]
        table.add_row(plain(title_of(suite)), *cells)
    show(table)
    if chosen:
        print(f"* chosen on the validation problems: {chosen}")
    elif len(labelled) > 1:
        print("No checkpoint was chosen on validation problems: the last one is shown.")


def _show_summary(summary: dict[str, Any]) -> None:
    if "gain" in summary:
        corrected = summary["format_corrected_gain"]
        beyond = "" if corrected is None else f"; {corrected:+.1f} beyond what boxing alone would bring"
        print(f"Gain {summary['gain']:+.1f} points{beyond}.")
        if len(summary["base_by_template"]) > 1:
            print(f"Over the base's best template: {summary['gain_over_best_template']:+.1f}.")
    top = summary.get("best_by_test_average")
    if top:
        print(f"Chosen on the tests, as the paper does (too good): {top['checkpoint']}, {top['average']:.1f}.")
    if summary.get("gain_after_saturation") is not None:
        print(
            f"Training accuracy saturates at step {summary['saturation_step']}; "
            f"the test average changes by {summary['gain_after_saturation']:+.1f} points after it."
        )


@eval_app.command()
@ended_well
def regrade(
    folder: Annotated[Path, typer.Argument(help="A folder that `oneshot eval` wrote, or a run.")],
    mode: Mode = "default",
    fallback: Fallback = None,
    words: Words = None,
) -> None:
    """Grade what was sampled by other rules, without sampling again."""
    from oneshot_rlvr.evaluation.offline import Evaluation
    from oneshot_rlvr.evaluation.offline import regrade as grade_again

    scores, path = grade_again(folder, mode, fallback, **_words(words))
    run = Evaluation.at(folder).run
    _show(scores, None if run is None else run.validated_step(), f"regraded: {mode}")
    print(f"Scores: {path}")


@eval_app.command()
@ended_well
def compare(
    a: Annotated[str, typer.Argument(help="A run or folder of scores; RUN:step_000020 or RUN:base for a checkpoint.")],
    b: Annotated[str, typer.Argument(help="The other.")],
    out: Annotated[Path | None, typer.Option(help="Write the table here as JSON.")] = None,
) -> None:
    """Compare two checkpoints or models on the same problems: difference, interval, paired test."""
    from oneshot_rlvr.evaluation.offline import compare as paired
    from oneshot_rlvr.files import write_json
    from oneshot_rlvr.problems.benchmarks import title_of

    found = paired(a, b)
    table = Table(title=plain(f"{found['b']['name']} against {found['a']['name']}"))
    for heading in ("suite", "n", "a %", "b %", "b - a", "95 %", "p"):
        table.add_column(heading, justify="left" if heading == "suite" else "right")
    for suite, row in found["suites"].items():
        if suite.endswith("(greedy)") and suite != "average (greedy)":
            continue  # --out has them
        p_value = row.get("p_holm", row["p_value"])
        interval = "{:+.1f}, {:+.1f}".format(*row["interval"])
        shown = f"{p_value:.4f}" if p_value >= 0.0001 else "< 0.0001"
        cells = (f"{row['a']:.1f}", f"{row['b']:.1f}", f"{row['difference']:+.1f}", interval, shown)
        table.add_row(plain(title_of(suite)), str(row["n"]), *cells)
    show(table)
    for note in found["notes"]:
        print(plain(f"Note: {note}").plain)
    print(plain(f"a is {found['a']['name']}, b is {found['b']['name']}.").plain)
    print("p: sign-flip permutation test over problems, of suites with Holm's adjustment. Intervals: bootstrap over")
    print("problems, or Student's where few of them differ.")
    if out is not None:
        write_json(out, found)
