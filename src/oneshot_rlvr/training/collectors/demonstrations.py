"""Demonstrations: solutions to learn from, in the place of rollouts."""

from __future__ import annotations

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import Problem, Template
from oneshot_rlvr.problems.answers import after_hash, last_boxed
from oneshot_rlvr.rollout import Rollout
from oneshot_rlvr.training.collectors.registry import COLLECTORS
from oneshot_rlvr.training.groups import Group
from oneshot_rlvr.training.source import Source


@COLLECTORS.register("demonstrations")
def demonstrations(source: Source, step: int) -> list[Group]:
    """One response a problem, its own solution with the answer where the template wants it; nothing is sampled.

    With advantage `ones`, surrogate `log_likelihood` and no penalties this is supervised fine-tuning.
    """
    return [_group(source, problem) for problem in source.problems_of(step)]


def _group(source: Source, problem: Problem) -> Group:
    text = demonstration(problem, source.template)
    ids = (*source.tokenizer(text, add_special_tokens=False)["input_ids"], source.tokenizer.eos_token_id)
    limit = source.config.sampling.max_new_tokens
    if len(ids) > limit:
        raise OneshotError(
            f"its solution has {len(ids)} tokens, more than sampling.max_new_tokens={limit}",
            where=f"problem {problem.id}",
            fix="Raise the limit, or leave the problem out.",
        )
    rollouts = [Rollout(problem.id, source.encode(problem), ids, (), text, "stop")]
    return Group(problem, rollouts, source.grade(problem, rollouts))


def demonstration(problem: Problem, template: Template) -> str:
    """A problem's solution as a response, the answer added where the solution does not give it.

    Raises:
        OneshotError: the problem has no solution.
    """
    if not problem.solution:
        raise OneshotError(
            "there is nothing to demonstrate: it has no solution",
            where=f"problem {problem.id}",
            fix="Give the problems a column `solution`, or another algorithm.collector.",
        )
    boxed = template.answer == "box"
    start = "" if (template.text or "\n")[-1].isspace() else " "
    answer = rf"The answer is \boxed{{{problem.answer}}}." if boxed else f"\n#### {problem.answer}"
    if template.think:
        return f"{start}{problem.solution}\n</think>\n{answer}"
    given = (last_boxed if boxed else after_hash)(problem.solution)
    return f"{start}{problem.solution}" if given else f"{start}{problem.solution} {answer}"
