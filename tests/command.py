"""Run the command in this process, as tests do."""

from __future__ import annotations

from typer.testing import CliRunner

from oneshot_rlvr.commands.app import app


def oneshot(*args: object, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def refused(*args: object) -> str:
    code, _, err = oneshot(*args)
    assert code == 2
    assert err.startswith("oneshot: error: ")
    assert err.count("\n") == 1
    return err
