"""From recipe, profile and settings to one checked configuration, with where each value came from.

package defaults < shipped recipe < model profile < what the recipe says `always:` < the user's own recipe file <
`--set` < the command's own flags. Recipes (`recipes/*.yaml`) and profiles (`profiles/*.yaml`) are partial
configurations, and may be `like:` another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from oneshot_rlvr.config.sections import Config
from oneshot_rlvr.config.template_file import inline, is_template_file
from oneshot_rlvr.errors import OneshotError, nearest

Kind = Literal["recipes", "profiles"]
LOCAL_PATHS = ("model.path", "data.problems", "run.validation", "algorithm.teacher")
YAML_FILES = (".yaml", ".yml")
RUNS = "runs"  # where runs are written; nobody's name on the hub
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
TEXTS = ("data.only",)  # of --set: lists of texts, whose numbers are ids as they stand: 010 is not 8
POOL = "pool"  # in data.problems: what data.pool names


@dataclass(frozen=True)
class Layer:
    """Values by dotted key and where they come from; those of a recipe that a profile does not change are `firm`."""

    origin: str
    values: dict[str, Any]
    firm: bool = False


def names(kind: Kind) -> list[str]:
    """The shipped recipes or model profiles."""
    return sorted(item.name.removesuffix(".yaml") for item in _folder(kind).iterdir() if item.name.endswith(".yaml"))


def _folder(kind: Kind) -> Any:
    return resources.files("oneshot_rlvr.config") / kind


def recipe_text(name: str, kind: Kind = "recipes") -> str:
    """The YAML of a shipped recipe or profile."""
    return (_folder(kind) / f"{name}.yaml").read_text(encoding="utf-8")


def about(name: str, kind: Kind = "recipes") -> str:
    """What a shipped recipe or profile is: the comment that it begins with."""
    lines = recipe_text(name, kind).splitlines()
    return " ".join(line[1:].strip() for line in lines[: next(i for i, line in enumerate(lines) if line[:1] != "#")])


def _read(path: Any, where: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        flatten(values if isinstance(values, dict) else {})  # an alias may hold itself
    except (OSError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise OneshotError(f"cannot read this recipe: {error}", where=where, fix="Give a YAML file.") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise OneshotError("a recipe is a YAML mapping", where=where, fix="Start from `oneshot recipes grpo`.")
    return values


@cache
def _shipped(kind: Kind, name: str) -> dict[str, Any]:
    return _read(_folder(kind) / f"{name}.yaml", name)


def layers_of(kind: Kind, name: str, seen: tuple[str, ...] = ()) -> list[Layer]:
    """The values of a recipe or profile, after those of what it is `like`.

    Raises:
        OneshotError: no such recipe or profile, one that cannot be read, or that is like itself.
    """
    label = f"{'recipe' if kind == 'recipes' else 'model profile'} {name}"
    if name in seen:
        raise OneshotError(f"it is like itself: {' like '.join([*seen, name])}", where=label, fix="Name another.")
    own_file = name.endswith(YAML_FILES)
    if own_file:
        values = _read(Path(name), name)
    elif name in names(kind):
        values = dict(_shipped(kind, name))
    else:
        what = "recipe" if kind == "recipes" else "model"
        raise OneshotError(f"unknown {what} {name!r}", fix=f"{nearest(name, names(kind))}, or give a YAML file.")
    like, always = values.pop("like", None), values.pop("always", {})
    if not isinstance(always, dict):
        raise OneshotError(
            "`always` holds sections, as a recipe does", where=label, fix="For example run: {steps: 10}."
        )
    layers = [Layer(label, flatten(values)), *([Layer(label, flatten(always), firm=True)] if always else [])]
    if like is None:
        return layers
    if not isinstance(like, str):
        raise OneshotError("`like` names one recipe", where=label, fix="For example like: grpo.")
    if own_file and like.endswith(YAML_FILES):
        like = str(Path(name).parent / like)
    return [*layers_of(kind, like, (*seen, name)), *layers]


def _profile(model: str) -> list[Layer]:
    if model in names("profiles"):
        return layers_of("profiles", model)
    owner = model.partition("/")[0]
    if (
        is_folder(model)
        or is_model_file(model)
        or (HUB_NAME.fullmatch(model) and owner != RUNS and not is_folder(owner))
    ):
        return [Layer(f"model profile {model}", {"model.path": model})]
    if "/" in model or model.lower().endswith(".gguf"):  # a path; the hub would be asked for it in vain
        raise OneshotError("no such model file or folder", where=model, fix=beside(Path(model)))
    raise OneshotError(
        f"unknown model {model!r}", fix=f"{nearest(model, names('profiles'))}, or give a model folder or owner/name."
    )


def is_folder(path: str) -> bool:
    """Whether a text names a folder."""
    return _holds(path, Path.is_dir)


def exists(path: str) -> bool:
    """Whether a text names a file or folder."""
    return _holds(path, Path.exists)


def is_model_file(path: str) -> bool:
    """Whether a text names a file that some reader makes a model folder of: a GGUF."""
    return path.lower().endswith(".gguf") and _holds(path, Path.is_file)


def _holds(path: str, question: Callable[[Path], bool]) -> bool:
    """Whether it is true of a text as a path; of none that a file system refuses."""
    try:
        return question(Path(path))
    except (OSError, ValueError):
        return False


def beside(path: Path) -> str:
    """What there is where a path was looked for, the nearest name first."""
    try:
        known = [entry.name for entry in path.parent.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        known = [name for name in known if name != path.name]
    except (OSError, ValueError):
        known = []
    return nearest(path.name, known) if known else "Check the path."


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Values by key from `key=value` texts.

    Raises:
        OneshotError: one that is none.
    """
    values = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise OneshotError(
                f"--set {setting!r} is not key=value", fix="For example --set optimizer.learning_rate=1e-5"
            )
        try:
            found = yaml.safe_load(value)
            own = key.strip() in TEXTS and found is not None  # read once more, as the texts that they are
            values[key.strip()] = yaml.load(value, yaml.BaseLoader) if own else found
        except (yaml.YAMLError, RecursionError, ValueError) as error:  # an integer of 10^5 digits is a ValueError
            raise OneshotError(f"--set {setting[:80]!r}: the value is not YAML", fix="Quote it.") from error
    return values


def valid_keys() -> list[str]:
    """Every configuration key, dotted."""
    return list(flatten(Config().model_dump()))


def build(flat: Mapping[str, Any], where: Mapping[str, str]) -> Config:
    """A checked configuration from dotted keys; `where` names each key's origin for the error message."""
    nested: dict[str, Any] = {}
    known = valid_keys()
    for key, value in flat.items():
        if key not in known:
            raise OneshotError(f"unknown configuration key {key!r}", where=where.get(key), fix=nearest(key, known))
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    try:
        return Config.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        message = first["msg"].removeprefix("Value error, ")
        raise OneshotError(f"{key}: {message}" if key else message, where=where.get(key)) from error


def _own_file(origin: str) -> bool:
    return origin.endswith(YAML_FILES)


def _name_pool(flat: dict[str, Any], sources: Mapping[str, str]) -> None:
    """`pool` in data.problems becomes what data.pool names; ids are of the whole pool where a shipped recipe picks of
    it by rank."""
    asked, pool = flat.get("data.problems", POOL), flat.get("data.pool", Config().data.pool)
    if flat.get("data.only") and str(asked).startswith(f"{POOL}:pi_") and not _own_file(sources["data.problems"]):
        asked = POOL
    if isinstance(asked, str) and (asked == POOL or asked.startswith(f"{POOL}:")):
        flat["data.problems"] = f"{pool}{asked[len(POOL) :]}"


def resolve(
    recipe: str = "grpo",
    model: str = "organism",
    settings: Sequence[str] | Mapping[str, Any] = (),
    flags: Mapping[str, Any] | None = None,
) -> tuple[Config, dict[str, str]]:
    """The configuration of a run and, for each dotted key, where its value came from.

    `settings` are `key=value` strings, or values by key; `flags` are values of the command's own options, `None` where
    not given.

    Raises:
        OneshotError: unknown recipe, model or key (with the nearest valid name), or a value out of range.
    """
    method, profile = layers_of("recipes", recipe), _profile(model)
    shipped = [layer for layer in method if not _own_file(layer.origin)]
    layers = [
        *(layer for layer in shipped if not layer.firm),
        *profile,
        *(layer for layer in shipped if layer.firm),
        *(layer for layer in method if layer not in shipped),
        Layer("--set", dict(settings) if isinstance(settings, Mapping) else overrides(settings)),
        Layer("command line", {key: value for key, value in (flags or {}).items() if value is not None}),
    ]
    flat: dict[str, Any] = {"recipe": recipe}
    sources = {"recipe": "command line"}
    for layer in layers:
        flat |= layer.values
        sources |= dict.fromkeys(layer.values, layer.origin)
    _name_pool(flat, sources)
    for key in LOCAL_PATHS:  # a run can be resumed and evaluated from another folder
        if isinstance(flat.get(key), str) and exists(flat[key]):
            flat[key] = str(Path(flat[key]).resolve())
    if is_template_file(flat.get("model.template")):
        flat["model.template"] = inline(flat["model.template"])
    config = build(flat, sources)
    return config, {key: sources.get(key, "package default") for key in valid_keys()}
