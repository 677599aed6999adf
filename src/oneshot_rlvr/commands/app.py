"""The `oneshot` command: one file a subcommand, options in, one call into the package, a few lines out.

Exit codes: 0 done, 1 `doctor` found something, 2 the user's mistake (one line, no traceback), 130 stopped, resumable.
"""

from __future__ import annotations

import os
from importlib import metadata
from typing import Annotated

import typer

from oneshot_rlvr.commands.ablate import ablate
from oneshot_rlvr.commands.cluster import cluster_app
from oneshot_rlvr.commands.demo import demo
from oneshot_rlvr.commands.doctor import doctor
from oneshot_rlvr.commands.evaluate import eval_app
from oneshot_rlvr.commands.few import few
from oneshot_rlvr.commands.forecast import check, fit, forecast, probe
from oneshot_rlvr.commands.grade import grade
from oneshot_rlvr.commands.keys import config
from oneshot_rlvr.commands.model import model_app
from oneshot_rlvr.commands.paths import paths_app
from oneshot_rlvr.commands.plan import plan
from oneshot_rlvr.commands.pretrain import pretrain
from oneshot_rlvr.commands.problems import problems_app
from oneshot_rlvr.commands.push import push
from oneshot_rlvr.commands.recall import recall
from oneshot_rlvr.commands.recipes import methods, models, recipes, rewards
from oneshot_rlvr.commands.report import report
from oneshot_rlvr.commands.runs import runs
from oneshot_rlvr.commands.select import select_app
from oneshot_rlvr.commands.selector import selector_app
from oneshot_rlvr.commands.study import loop, study
from oneshot_rlvr.commands.terminal import ended_well
from oneshot_rlvr.commands.train import train
from oneshot_rlvr.commands.watch import watch

app = typer.Typer(
    help="Train a reasoning model with reinforcement learning on one example, and find out why it works.",
    no_args_is_help=True,
    epilog="What there is: oneshot recipes, models, problems, rewards, methods, config.",
    pretty_exceptions_enable=False,
)
for function in (demo, train, ablate, report, doctor, watch, runs, grade, plan, push, pretrain):
    app.command()(ended_well(function))
app.add_typer(eval_app, name="eval")
for function in (study, few, loop, probe, fit, forecast, check):
    select_app.command()(ended_well(function))
problems_app.command()(ended_well(recall))
app.add_typer(select_app, name="select")
app.add_typer(paths_app, name="paths")
app.add_typer(selector_app, name="selector")
app.add_typer(model_app, name="model")
app.add_typer(cluster_app, name="cluster")
app.add_typer(problems_app, name="problems", rich_help_panel="What there is")
for function in (recipes, models, rewards, methods, config):
    app.command(rich_help_panel="What there is")(ended_well(function))


@app.callback(invoke_without_command=True)
def version_option(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Options of the command itself."""
    if version:
        print(metadata.version("oneshot-rlvr"))
        raise typer.Exit


def main() -> None:
    """Entry point of the `oneshot` command."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    app()
