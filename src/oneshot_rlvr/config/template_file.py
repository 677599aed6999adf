"""A user's own prompt template: a YAML or Jinja file, put into the configuration whole, so that a run has it for good.

like: chat                      # a shipped template, or `text:` or `jinja:`
system: You are a careful mathematician.
shots: [{question: "What is 1 + 2?", response: "1 + 2 = 3, so \\boxed{3}."}]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from oneshot_rlvr.errors import OneshotError

ENDINGS = (".yaml", ".yml", ".jinja", ".j2")
LONGEST = 100_000  # characters
FIX = "docs/methods.md says what a template has."


class Shot(BaseModel):
    """A question and how it is answered, before the one that is asked."""

    model_config = ConfigDict(extra="forbid")
    question: str
    response: str


class OwnTemplate(BaseModel):
    """What a template file may say. One of `like`, `text` (with `{question}`) and `jinja` (a chat template)."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=100, pattern=r"^[\w][\w. -]*$")
    like: str | None = None
    text: str | None = Field(default=None, max_length=LONGEST)
    jinja: str | None = Field(default=None, max_length=LONGEST)
    system: str | None = Field(default=None, max_length=LONGEST)
    instruction: str | None = None
    answer: Literal["box", "hash"] | None = None
    think: bool | None = None
    turn_end: str | None = None
    between: str | None = None
    shots: list[Shot] = []

    @model_validator(mode="after")
    def _check(self) -> OwnTemplate:
        if sum(value is not None for value in (self.like, self.text, self.jinja)) != 1:
            raise ValueError("give one of like, text and jinja")
        if self.text is not None and "{question}" not in self.text:
            raise ValueError("text has no place for {question}")
        return self


def is_template_file(value: object) -> bool:
    """Whether a configured template is a file rather than a name."""
    return isinstance(value, str) and not value.startswith("{") and value.lower().endswith(ENDINGS)


def inline(path: str) -> str:
    """A template file's text as the configuration keeps it, checked: JSON.

    Raises:
        OneshotError: it cannot be read, or is no template.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
        values: Any = yaml.safe_load(text) if file.suffix.lower() in (".yaml", ".yml") else {"jinja": text}
    except (OSError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise OneshotError(
            f"cannot read this template: {error}", where=path, fix="Give a YAML or Jinja file."
        ) from error
    if not isinstance(values, dict):
        raise OneshotError("a template is a YAML mapping", where=path, fix=FIX)
    own = _checked({"name": file.stem} | values, path)
    return json.dumps(own.model_dump(exclude_defaults=True), ensure_ascii=False, sort_keys=True)


def read_inline(text: str) -> OwnTemplate:
    """What `inline` wrote.

    Raises:
        OneshotError: it is none.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OneshotError("this is no template", where="model.template", fix=FIX) from error
    return _checked(values, "model.template")


def _checked(values: Any, where: str) -> OwnTemplate:
    try:
        return OwnTemplate.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise OneshotError(f"{place}: {said}" if place else said, where=where, fix=FIX) from error
