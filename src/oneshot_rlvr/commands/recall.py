"""`oneshot problems recall`: whether a model completes test problems as if it had read them before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from oneshot_rlvr.commands.options import Limit
from oneshot_rlvr.commands.terminal import Settings, plain, show
from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from oneshot_rlvr.config import Config


def recall(
    model: Annotated[str, typer.Argument(help="Model profile, folder, or hub name.")],
    suites: Annotated[list[str], typer.Option("--suite", help="A test set, or paper for the paper's six; repeatable.")],
    share: Annotated[float, typer.Option(min=0.05, max=0.95, help="Of a question's words that is shown.")] = 0.6,
    limit: Limit = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
    settings: Settings = None,
) -> None:
    """Have a model complete test questions from their first part: one that it does word for word, it may have read."""
    from oneshot_rlvr.config import resolve
    from oneshot_rlvr.evaluation.recall import recalled, share_exact
    from oneshot_rlvr.evaluation.target import named_suites
    from oneshot_rlvr.grading.features import mean
    from oneshot_rlvr.policy.model import as_the_model_asks

    config = as_the_model_asks(*resolve("grpo", model, settings or ()))[0]
    named = named_suites(suites, limit)

    def complete(texts: Sequence[str]) -> list[str]:
        return _written(config, texts, share)

    completed = {name: recalled(problems, complete, share) for name, problems in named.items()}
    if as_json:
        print(json.dumps({name: [one.to_json() for one in found] for name, found in completed.items()}, indent=1))
        return
    table = Table("test set", "problems", "word for word", "95 % interval", "ROUGE-L", "the first of them")
    for name, found in completed.items():
        exact, (low, high) = share_exact(found)
        first = ", ".join(one.id for one in found if one.exact)[:40]
        rouge = mean([one.rouge for one in found])
        table.add_row(
            plain(name), str(len(found)), f"{exact:.1%}", f"{low:.1%} to {high:.1%}", f"{rouge:.2f}", plain(first)
        )
    show(table)


def _written(config: Config, texts: Sequence[str], share: float) -> list[str]:
    """What the model writes behind each text, greedily: half as many tokens again as the hidden part should have."""
    from oneshot_rlvr.policy import load_policy
    from oneshot_rlvr.rollout import Prompt, SamplingParams, make_sampler

    policy = load_policy(config.model, config.speed.shared_prefix)
    ids = [tuple(policy.tokenizer(text)["input_ids"]) for text in texts]
    room = 16 + int(1.5 * max(len(row) for row in ids) * (1 - share) / share)
    longest = max(len(row) for row in ids) + room
    if policy.longest is not None and longest > policy.longest:
        raise OneshotError(
            f"a question and its end may take {longest} tokens, and the model has room for {policy.longest}",
            where="--suite",
            fix="Ask a set with shorter questions, or fewer with --limit.",
        )
    sampler = make_sampler(policy, config, longest)
    prompts = [Prompt(str(place), row, place) for place, row in enumerate(ids)]
    return [one[0].text for one in sampler.sample(prompts, 1, SamplingParams(0.0, max_new_tokens=room))]
