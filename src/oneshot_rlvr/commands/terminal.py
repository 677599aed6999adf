"""What the command's parts share: common options, how a command ends, text for the terminal."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperGroup

from oneshot_rlvr.errors import Interrupted, OneshotError
from oneshot_rlvr.grading.modes import MODES

Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a configuration key, e.g. --set run.steps=50.")
]
Mode = Annotated[str, typer.Option(help=f"Grading rules: {', '.join(MODES)}.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Plain lines instead of progress bars.")]


class _Screen(Console):
    """Rich's console ends the command with 1 where a reader has seen enough; `ended_well` knows better."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def show(what: RenderableType) -> None:
    """Print a table."""
    _Screen().print(what)


def default_group(name: str) -> type[TyperGroup]:
    """A group of commands, `name` where none is named: `oneshot eval RUN` is `oneshot eval model RUN`."""

    class DefaultGroup(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if args and args[0] not in self.commands and args[0] != "--help":
                args.insert(0, name)
            return super().parse_args(ctx, args)

    return DefaultGroup


def ended_well(function: Callable[..., None]) -> Callable[..., None]:
    """Let a command's mistakes and interruptions end with the exit codes of `app.py`."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except OneshotError as error:
            print(plain(f"oneshot: error: {error}"), file=sys.stderr)
            raise typer.Exit(2) from None
        except BrokenPipeError:  # whoever read the output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None
        except (OSError, UnicodeEncodeError) as error:  # the system's refusal: a name too long, a disk, a permission
            reason = getattr(error, "strerror", None) or str(error)
            where = getattr(error, "filename", None)
            said = OneshotError(reason, where=where and repr(where)[:200], fix="Check the path and its permissions.")
            print(plain(f"oneshot: error: {said}"), file=sys.stderr)
            raise typer.Exit(2) from None
        except (Interrupted, KeyboardInterrupt) as stop:
            print(f"oneshot: {str(stop) or 'interrupted; finished work is kept'}", file=sys.stderr)
            raise typer.Exit(130) from None

    return wrapped


def plain(text: str) -> Text:
    """Anybody's text for the terminal: no markup, no control characters."""
    return Text("".join(c for c in text if c.isprintable() or c == "\n"))
