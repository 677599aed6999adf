"""A recipe's step, said before it is begun: how long it takes on this CPU, and whether it fits the memory here."""

from __future__ import annotations

from typing import Any

from oneshot_rlvr.commands.planner import make_plan, name_here, plan_here, sampled
from oneshot_rlvr.config import Config
from oneshot_rlvr.policy.model import is_small

PATIENCE = 600  # seconds of a step that nobody need be warned of
GROUPS, TOKENS = 4, 256  # of a step on a laptop


def long_step(config: Config, plan: dict[str, Any] | None = None) -> str | None:
    """One line on a step that takes long here; None where it does not, where a GPU does it, or nothing is known.

    `plan` is the configuration's, where it is made already.
    """
    if is_small(config.model) or name_here(config.model.device) != "cpu" or not (plan := plan or plan_here(config)):
        return None
    took = plan["seconds"]["step"]
    if took <= PATIENCE:
        return None
    groups, tokens, parts = config.batch.groups_per_step, config.sampling.max_new_tokens, config.batch.minibatches
    rollouts = groups * config.batch.group_size
    limit = f" of up to {tokens:,} tokens" if sampled(config) else ""
    said = f"A step of {rollouts:,} rollouts{limit} takes about {spoken(took)} here"
    fewer, shorter = min(groups, parts * max(1, GROUPS // parts)), min(tokens, TOKENS if sampled(config) else tokens)
    advice = [f"--set batch.groups_per_step={fewer}"] * (fewer < groups)
    advice += [f"--set sampling.max_new_tokens={shorter}"] * (shorter < tokens)
    if not advice:
        return f"{said}."
    batch = config.batch.model_copy(update={"groups_per_step": fewer})
    sampling = config.sampling.model_copy(update={"max_new_tokens": shorter})
    less = make_plan(config.model_copy(update={"batch": batch, "sampling": sampling}), "cpu")["seconds"]["step"]
    cut = " (longer answers are cut off then)" if shorter < tokens else ""
    return f"{said}; with {' '.join(advice)} about {spoken(less)}{cut}."


def too_large(config: Config, plan: dict[str, Any] | None = None) -> str | None:
    """One line on a run that is planned to take more memory than there is; None where it fits, or nothing is known.

    `plan` is the configuration's, where it is made already.
    """
    if is_small(config.model) or not (plan := plan or plan_here(config)) or plan["fits"]:
        return None
    peak, there = plan["memory_gib"]["peak"], plan["memory_of_device_gib"]
    less = "a smaller model" if config.model.lora_rank else "adapters (--set model.lora_rank=32) or a smaller model"
    return f"By plan it takes {peak:.0f} GiB, and there are {there:.0f}: it may run out of memory; {less} would not."


def spoken(seconds: float) -> str:
    """Seconds, minutes or hours, to two digits."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{float(f'{seconds:.2g}'):g} s"
