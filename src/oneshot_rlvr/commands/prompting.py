"""A study of prompt strategies: the same problems, asked in every way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oneshot_rlvr.commands.judging import Judging
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.metrics import majority
from oneshot_rlvr.evaluation.protocols import Sampling
from oneshot_rlvr.evaluation.statistics import mean_interval
from oneshot_rlvr.grading.features import mean
from oneshot_rlvr.problems import Problem, Template, find_problems, get_template
from oneshot_rlvr.problems.solutions import demonstration
from oneshot_rlvr.selectors import PathFolder, PathGroup
from oneshot_rlvr.selectors.collect import Collection, collect

Row = dict[str, Any]


@dataclass(frozen=True)
class Strategies:
    """Each is (template, temperature, number of examples); `problems` are the same for all."""

    problems: Sequence[Problem]
    each: Sequence[tuple[str, float, int]]
    examples: Sequence[Problem]

    @staticmethod
    def of(
        problems: Sequence[Problem],
        templates: Sequence[str],
        temperatures: Sequence[float],
        shots: Sequence[int],
        examples: str | None,
    ) -> Strategies:
        """Every template with every temperature and number of examples.

        Raises:
            OneshotError: a number out of range, an unknown template, or too few examples with a solution.
        """
        for name in templates:
            get_template(name)
        if any(count < 0 for count in shots) or not all(0.05 <= degree <= 10 for degree in temperatures):
            raise OneshotError(
                "a number is out of range",
                where="--temperatures, --shots",
                fix="Temperatures are 0.05 to 10, shots 0, 1, ...",
            )
        asked = {problem.question for problem in problems}
        known = [p for p in find_problems(examples) if p.solution and p.question not in asked] if examples else []
        most = max(shots)
        if len(known) < most:
            raise OneshotError(
                f"{len(known)} problems with solutions that are not asked, {most} are needed",
                where="--examples",
                fix="Name a set of problems with solutions.",
            )
        return Strategies(problems, [(n, d, c) for n in templates for d in temperatures for c in shots], known[:most])

    def template(self, name: str, shots: int) -> Template:
        """A template with the first examples before the question."""
        plain = get_template(name)
        pairs = tuple((p.question, demonstration(p, plain)) for p in self.examples[:shots])
        return replace(plain, shots=pairs) if pairs else plain


def run_strategies(
    out: Path, judging: Judging, asked: Strategies, sampling: Sampling, heard: Callable[[int, int], object]
) -> list[Row]:
    """A row a strategy; its paths are kept in a folder of its own, and not sampled again."""
    rows, policies = [], []

    def load() -> Any:
        policies[:] = policies or [judging.policy()]
        return policies[0]

    for done, (name, temperature, shots) in enumerate(asked.each, 1):
        template, own = asked.template(name, shots), replace(sampling, temperature=temperature)
        folder = PathFolder(out / f"{template.title}-{temperature:g}-{shots}")
        longest = judging.config.sampling.model_copy(update={"max_prompt_tokens": 1 << 20})  # examples are long
        config = judging.config.model_copy(update={"sampling": longest})
        collect(folder, Collection(asked.problems, template, own), judging.model, config, load)
        groups = folder.groups()
        rows.append({"template": template.title, "temperature": temperature, "shots": shots, **_measured(groups)})
        heard(done, len(asked.each))
    return rows


def _measured(groups: Sequence[PathGroup]) -> Row:
    rates = [group.rate for group in groups]
    usual = [majority([p.answer for p in group.paths], [p.right for p in group.paths]) for group in groups]
    paths = [path for group in groups for path in group.paths]
    return {
        "accuracy": mean(rates),
        "interval": list(mean_interval(rates)),
        "majority": mean(usual),
        "any": mean([bool(group.right_N.any()) for group in groups]),
        "mixed": mean([group.mixed for group in groups]),
        "distinct": mean([len(set(group.classes_N.tolist())) for group in groups]),
        "tokens": mean([path.tokens for path in paths]),
        "truncated": mean([path.finish == "length" for path in paths]),
        "no_answer": mean([path.extracted is None for path in paths]),
    }
