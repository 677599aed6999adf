"""Run the command in this process, as tests do."""

from __future__ import annotations

from functools import cache

import typer.testing

from oneshot_rlvr.commands.app import app

typer.testing._get_command = cache(typer.testing._get_command)  # a tenth of a second, hundreds of times


def oneshot(*args: object, stdin: str | None = None) -> tuple[int, str, str]:
    result = typer.testing.CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def refused(*args: object) -> str:
    code, _, err = oneshot(*args)
    assert code == 2
    assert err.startswith("oneshot: error: ")
    assert err.count("\n") == 1
    return err
