"""Scores as types. Their spelling in files (`avg@8`, `step_000020`, `base@boxed`) is known here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from oneshot_rlvr.runs.naming import BASE, step_name, step_of

Row = dict[str, Any]
Interval = tuple[float, float]
SHAPES = ("boxed", "boxed_accuracy", "no_answer", "truncated", "length", "reflection")


@dataclass(frozen=True)
class Part:
    """Accuracy in percent on the problems of one category or level."""

    accuracy: float
    interval: Interval
    n: int


@dataclass(frozen=True)
class Score:
    """What a model scores on one suite, or over suites; accuracies in percent with 95 % intervals.

    `samples` is the k of `accuracy`, which is avg@k; None for a mean over suites that are sampled differently. `passes`
    maps k to pass@k. The fields from `boxed` to `reflection` describe the sampled responses: fractions, the accuracy of
    the boxed ones in percent, the mean length in tokens; `words` is the fraction with each reflection word. `outcomes`
    and `prompt_too_long` are counts, absent from a mean; so is `shortened`, the problems whose prompt left less than
    the protocol's tokens for a response. `by` is the breakdown by category and by level.
    """

    accuracy: float
    interval: Interval
    n: int
    samples: int | None
    passes: dict[int, float]
    majority: float | None
    boxed: float
    boxed_accuracy: float
    no_answer: float
    truncated: float
    length: float
    reflection: float
    words: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    prompt_too_long: int | None = None
    shortened: int = 0
    greedy: float | None = None
    greedy_interval: Interval | None = None
    by: dict[str, dict[str, Part]] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """What `accuracy` is called: `avg@8`."""
        return "avg" if self.samples is None else f"avg@{self.samples}"

    def numbers(self) -> dict[str, float]:
        """Every accuracy and shape by its name in files, for trackers and other programs."""
        found = {self.metric: self.accuracy, **{f"pass@{k}": value for k, value in self.passes.items()}}
        if self.majority is not None:
            found[f"maj@{self.samples}"] = self.majority
        found |= {name: getattr(self, name) for name in SHAPES}
        return found if self.greedy is None else found | {"greedy": self.greedy}

    def to_json(self) -> Row:
        """The score as it stands in `scores.json`."""
        row: Row = self.numbers() | {"interval": list(self.interval), "n": self.n}
        row |= {f"reflection:{word}": value for word, value in self.words.items()}
        if self.outcomes:
            row |= {"outcomes": self.outcomes, "prompt_too_long": self.prompt_too_long, "shortened": self.shortened}
        if self.greedy_interval is not None:
            row["greedy_interval"] = list(self.greedy_interval)
        parts = {
            field: {name: {**vars(part), "interval": list(part.interval)} for name, part in parts.items()}
            for field, parts in self.by.items()
        }
        return row | {"by": parts}

    @classmethod
    def from_json(cls, row: Row) -> Score:
        """A score as `to_json` wrote it.

        Raises:
            ValueError: it is none.
        """
        metric = next((key for key in row if key.startswith("avg@")), "avg")
        values = {key: row.get(key) for key in (*SHAPES, "interval", "n", "greedy", "greedy_interval")}
        values |= {
            "accuracy": row.get(metric),
            "samples": int(metric[4:]) if metric != "avg" else None,
            "passes": {int(key[5:]): value for key, value in row.items() if key.startswith("pass@")},
            "majority": next((value for key, value in row.items() if key.startswith("maj@")), None),
            "words": {key.partition(":")[2]: v for key, v in row.items() if key.startswith("reflection:")},
            "outcomes": row.get("outcomes", {}),
            "prompt_too_long": row.get("prompt_too_long"),
            "shortened": row.get("shortened", 0),
            "by": row.get("by", {}),
        }
        return _SCORE.validate_python(values)


_SCORE = TypeAdapter(Score)


@dataclass(frozen=True)
class ModelScores:
    """One model's scores by suite, and over them."""

    suites: dict[str, Score]
    average: Score

    def all(self) -> dict[str, Score]:
        """The suites, then their average."""
        return {**self.suites, "average": self.average}

    def to_json(self) -> Row:
        """As it stands in `scores.json`."""
        return {suite: score.to_json() for suite, score in self.all().items()}

    @classmethod
    def from_json(cls, row: Row) -> ModelScores:
        """As `to_json` wrote it.

        Raises:
            ValueError: it is none.
        """
        suites = {suite: Score.from_json(score) for suite, score in row.items()}
        if "average" not in suites:
            raise ValueError("no average")
        return cls(suites, suites.pop("average"))


@dataclass(frozen=True)
class Scores:
    """The scores of an evaluation: the base (or the only model, then `name` is its name), the base asked with other
    templates, and trained checkpoints by step, in order."""

    base: ModelScores | None = None
    baselines: dict[str, ModelScores] = field(default_factory=dict)
    checkpoints: dict[int, ModelScores] = field(default_factory=dict)
    name: str = BASE

    def __bool__(self) -> bool:
        return self.base is not None or bool(self.checkpoints)

    def labelled(self, baselines: bool = True) -> dict[str, ModelScores]:
        """All of them by their names in files, in order: base, base@TEMPLATE, step_N."""
        own = {} if self.base is None else {self.name: self.base}
        others = {f"{self.name}@{template}": scores for template, scores in self.baselines.items()}
        steps = {step_name(step): scores for step, scores in self.checkpoints.items()}
        return own | (others if baselines else {}) | steps

    @property
    def first(self) -> ModelScores:
        """The base, or else the first checkpoint."""
        return next(iter(self.labelled().values()))

    @classmethod
    def of(cls, labelled: Mapping[str, ModelScores]) -> Scores:
        """From names as `labelled` has them."""
        steps = sorted((step_of(name), scores) for name, scores in labelled.items() if step_of(name))
        others = {name: scores for name, scores in labelled.items() if not step_of(name)}
        name = next((name for name in others if "@" not in name), BASE)
        baselines = {label.partition("@")[2]: scores for label, scores in others.items() if "@" in label}
        return cls(others.get(name), baselines, dict(steps), name)

    def to_json(self) -> tuple[Row, Row]:
        """What `scores.json` and `baselines.json` hold."""
        rows = {name: scores.to_json() for name, scores in sorted(self.labelled().items())}
        scores, baselines = ({k: v for k, v in rows.items() if ("@" in k) == others} for others in (False, True))
        return scores, baselines

    @classmethod
    def from_json(cls, *files: Row) -> Scores:
        """From what the two files hold.

        Raises:
            ValueError: they hold something else.
        """
        try:
            return cls.of({name: ModelScores.from_json(row) for file in files for name, row in file.items()})
        except (AttributeError, TypeError, ValidationError) as error:
            raise ValueError(str(error).splitlines()[0]) from error
