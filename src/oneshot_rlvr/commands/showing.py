"""What a user must know of a model before the first run on it: `oneshot model show`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from oneshot_rlvr.commands.patience import long_step
from oneshot_rlvr.commands.planner import plan_here
from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.policy import Policy, load_policy
from oneshot_rlvr.policy.gguf import origin
from oneshot_rlvr.policy.model import as_the_model_asks, stop_sources
from oneshot_rlvr.problems import Problem, encode_prompt, get_template
from oneshot_rlvr.rollout import make_sampler
from oneshot_rlvr.training.prepare import make_grader
from oneshot_rlvr.training.source import Source

QUESTION = Problem("shown", "What is 5 + 41 - 15 + 33?", "64", "oneshot model show")
ANSWERS, MOST_TOKENS = 4, 128


def shown(model: str, recipe: str, settings: list[str], problem: Problem = QUESTION) -> dict[str, Any]:
    """Architecture, prompt, stops, cost and four graded answers of a model, as a run of the recipe would have them.

    Raises:
        OneshotError: no such model, recipe or setting, or the prompt is too long.
    """
    config, sources = as_the_model_asks(*resolve(recipe, model, settings))
    policy = load_policy(config.model, config.speed.shared_prefix)
    template = get_template(config.model.template)
    ids = encode_prompt(template, problem.question, policy.tokenizer)
    plan = plan_here(config)
    return {
        "model": model,
        "folder": model_folder(config.model.path),
        **_architecture(policy),
        "gguf": origin(config.model.path),
        "template": template.title,
        "template_from": sources["model.template"],
        "has_chat_template": getattr(policy.tokenizer, "chat_template", None) is not None,
        "prompt": template.render(problem.question, policy.tokenizer),
        "prompt_ids": list(ids),
        "prompt_tokens": [policy.tokenizer.decode([token]) for token in ids],
        "stops": _stops(policy, config),
        "stop_strings": list(config.sampling.stop_strings),
        "prompts_shared": policy.shared_prefix,
        "why_not_shared": policy.why_plain,
        "max_new_tokens": config.sampling.max_new_tokens,
        "shown_tokens": min(config.sampling.max_new_tokens, MOST_TOKENS),
        "plan": plan,
        "long_step": long_step(config, plan),
        "answers": _answers(policy, config, problem),
    }


def _architecture(policy: Policy) -> dict[str, Any]:
    text = policy.model.config.get_text_config()
    weight = next(policy.model.parameters())
    return {
        "architecture": type(policy.model).__name__,
        "parameters": sum(p.numel() for p in policy.model.parameters()),
        "layers": getattr(text, "num_hidden_layers", None),
        "hidden": getattr(text, "hidden_size", None),
        "vocabulary": getattr(text, "vocab_size", None),
        "places": policy.longest,
        "tied": bool(getattr(text, "tie_word_embeddings", False)),
        "dtype": str(weight.dtype).removeprefix("torch."),
        "device": str(weight.device),
    }


def _stops(policy: Policy, config: Config) -> list[dict[str, Any]]:
    """Each token that ends a response: its id, text, and who says so."""
    said = stop_sources(policy.model, policy.tokenizer)
    if config.sampling.stop_at_turn_end:
        said["template"] = get_template(config.model.template).stop_ids(policy.tokenizer)
    said["sampling.stop_ids"] = config.sampling.stop_ids
    tokens = sorted({token for tokens in said.values() for token in tokens})
    return [
        {
            "id": token,
            "text": policy.tokenizer.decode([token], skip_special_tokens=False),
            "from": [who for who, theirs in said.items() if token in theirs],
        }
        for token in tokens
    ]


def _answers(policy: Policy, config: Config, problem: Problem) -> list[dict[str, Any]]:
    """A few sampled answers and their grades, in training's way but no longer than `MOST_TOKENS`."""
    short = config.sampling.model_copy(update={"max_new_tokens": min(config.sampling.max_new_tokens, MOST_TOKENS)})
    batch = config.batch.model_copy(update={"group_size": ANSWERS})
    config = config.model_copy(update={"sampling": short, "batch": batch})
    with make_grader(config) as grader:
        if not grader.scorable(problem):
            raise OneshotError(f"the gold {problem.answer!r} cannot be scored", where="--answer", fix="Give another.")
        source = Source(config, [problem], policy, grader, make_sampler(policy, config))
        (group,) = source.groups(1, [problem])
    return [
        {
            "text": rollout.text,
            "tokens": len(rollout.response_ids),
            "finish": rollout.finish,
            "outcome": grade.outcome,
            "extracted": grade.extracted,
        }
        for rollout, grade in zip(group.rollouts, group.grades, strict=True)
    ]


def own_problem(question: str | None, answer: str | None) -> Problem:
    """The question to show, the user's or ours.

    Raises:
        OneshotError: only one of the two is given.
    """
    if question is None and answer is None:
        return QUESTION
    if not question or not answer:
        raise OneshotError("--question and --answer go together and are not empty", fix="Give both, or neither.")
    return replace(QUESTION, question=question, answer=answer)
