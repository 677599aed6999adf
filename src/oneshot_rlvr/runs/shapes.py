"""What the files of a run hold, checked as they are read: one that was damaged or edited is one line, no traceback.

The checks look at names and types. A changed number of the right type passes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from oneshot_rlvr.errors import OneshotError

Number = Annotated[float, Field(strict=True)]
Count = Annotated[int, Field(ge=0)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Response(_Shape):
    text: str
    finish: Literal["stop", "length"]
    tokens: Count


class _Answered(_Shape):
    problem_id: str
    samples: list[_Response]
    greedy: list[_Response]


class _Indexed(_Shape):
    weights: str
    template: str
    transcripts: dict[str, list[str]]


class _Sampling(_Shape):
    samples: Count
    temperature: float
    greedy: bool


class _Protocol(_Shape):
    name: str
    sampling: _Sampling
    by_suite: dict[str, _Sampling]
    max_new_tokens: int | None
    mode: str
    fallback: bool
    changed: list[str] = []


class _Suite(_Shape):
    n: Count
    hash: str


class _Asked(_Shape):
    protocol: _Protocol
    template: str
    suites: dict[str, _Suite]
    reflection_words: list[str]


class _Best(_Shape):
    checkpoint: str
    average: float


class _Summary(_Shape):
    average_of: str
    chosen: _Best | None = None
    best_by_validation: _Best | None = None
    best_by_test_average: _Best | None = None
    base: float | None = None
    gain: float | None = None
    format_corrected_gain: float | None = None
    base_by_template: dict[str, float] | None = None
    gain_over_best_template: float | None = None
    saturation_step: int | None = None
    saturated_at: str | None = None
    gain_after_saturation: float | None = None


class _Rollout(_Shape):
    problem_id: str
    text: str
    outcome: str
    extracted: str | None
    reward: float | None
    tokens: Count


class _Told(_Shape):
    text: str
    outcome: str


class _Example(_Shape):
    suite: str
    question: str
    gold: str
    before: _Told
    after: _Told


class _Examples(_Shape):
    before: str
    after: str
    examples: list[_Example]


def _numbered(line: dict[str, float]) -> dict[str, float]:
    if "step" not in line or not line["step"].is_integer():
        raise ValueError("a line needs its step")
    return line


TRANSCRIPT = TypeAdapter(list[_Answered])
INDEX = TypeAdapter(dict[str, _Indexed])
ASKED = TypeAdapter(_Asked)
SUMMARY = TypeAdapter(_Summary)
EXAMPLES = TypeAdapter(_Examples)
ROLLOUTS = TypeAdapter(list[_Rollout])
METRICS = TypeAdapter(list[Annotated[dict[str, Number], AfterValidator(_numbered)]])


def checked(shape: TypeAdapter[Any], value: Any, path: Path, fix: str) -> Any:
    """The value as it is, if it has the shape.

    Raises:
        OneshotError: it has not; names the place in the file and says `fix`.
    """
    try:
        shape.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise OneshotError(f"it is damaged at {place}: {first['msg'].lower()}", where=path, fix=fix) from error
    return value
