"""`oneshot config`: every key of the configuration with its type, value, meaning and source."""

from __future__ import annotations

import textwrap
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer
from pydantic.fields import FieldInfo

from oneshot_rlvr.commands.options import ModelName
from oneshot_rlvr.commands.terminal import Settings


@dataclass(frozen=True)
class Key:
    """One key: its type with bounds in words, and what it means."""

    name: str
    kind: str
    default: Any
    meaning: str


def every_key() -> list[Key]:
    """Every key of the configuration, in the order of its sections."""
    from oneshot_rlvr.config.sections import Config, Section

    found = []
    for section, info in Config.model_fields.items():
        kind = info.annotation
        if not (isinstance(kind, type) and issubclass(kind, Section)):
            found.append(Key(section, _kind(info), info.default, info.description or ""))
            continue
        for name, inner in kind.model_fields.items():
            found.append(Key(f"{section}.{name}", _kind(inner), inner.default, inner.description or ""))
    return found


def _kind(info: FieldInfo) -> str:
    words = _words(info.annotation)
    bounds = {type(bound).__name__: next(iter(_vars_of(bound).values())) for bound in info.metadata}
    signs = {"Ge": "≥ ", "Gt": "> ", "Le": "≤ ", "Lt": "< "}
    limits = [
        f"{signs[name]}{value if isinstance(value, int) else format(value, 'g')}"
        for name, value in bounds.items()
        if name in signs
    ]
    return f"{words}, {', '.join(limits)}" if limits else words


def _vars_of(bound: Any) -> dict[str, Any]:
    """A bound's one value; pydantic's metadata has slots."""
    return {name: getattr(bound, name) for name in getattr(bound, "__slots__", ()) or vars(bound)}


def _words(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin is Annotated:
        return _words(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if item is type(None) else _words(item) for item in arguments)
    if origin is tuple:
        inside = " and ".join(_words(item) for item in arguments if item is not Ellipsis)
        return f"a list of {inside}"
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def config(
    prefix: Annotated[str, typer.Argument(help="Only keys that begin with this: run, sampling.temperature.")] = "",
    recipe: Annotated[str, typer.Option(help="Recipe name, or a YAML file.")] = "grpo",
    model: ModelName = "organism",
    settings: Settings = None,
) -> None:
    """List every configuration key: its value under a recipe and a model, where that comes from, and what it means."""
    from oneshot_rlvr.config import flatten, resolve
    from oneshot_rlvr.errors import OneshotError, nearest
    from oneshot_rlvr.policy.model import as_the_model_asks

    resolved, sources = as_the_model_asks(*resolve(recipe, model, settings or []))
    values = flatten(resolved.model_dump(mode="json"))
    shown = [key for key in every_key() if key.name.startswith(prefix)]
    if not shown:
        raise OneshotError(f"no key begins with {prefix!r}", fix=nearest(prefix, [key.name for key in every_key()]))
    for key in shown:
        print(f"{key.name} = {_shown(values[key.name])}  ({sources[key.name]})")
        for line in textwrap.wrap(f"{key.kind}: {key.meaning}", 74):
            print(f"    {line}")


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def markdown() -> str:
    """The table of docs/configuration.md."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key in every_key():
        kind, meaning = (text.replace("|", "\\|") for text in (key.kind, key.meaning))
        default = key.default if not isinstance(key.default, tuple) else list(key.default)
        rows.append(f"| `{key.name}` | {kind} | `{_shown(default)}` | {meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":  # python -m oneshot_rlvr.commands.keys > ...
    print(markdown(), end="")
