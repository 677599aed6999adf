"""A recipe's step on this CPU, said before it is begun: how long it takes, and settings that make it short."""

from __future__ import annotations

from oneshot_rlvr.commands.planner import known_shape, make_plan, name_here
from oneshot_rlvr.config import Config
from oneshot_rlvr.policy.model import is_small

PATIENCE = 600  # seconds of a step that nobody need be warned of
LESS = {"batch.groups_per_step": 4, "sampling.max_new_tokens": 256}


def long_step(config: Config) -> str | None:
    """One line on a step that takes long here; None where it does not, where a GPU does it, or nothing is known."""
    if name_here(config.model.device) != "cpu" or is_small(config.model) or known_shape(config.model) is None:
        return None
    took = make_plan(config, "cpu")["seconds"]["step"]
    if took <= PATIENCE:
        return None
    groups, tokens = config.batch.groups_per_step, config.sampling.max_new_tokens
    rollouts = groups * config.batch.group_size
    said = f"A step of {rollouts:,} rollouts of up to {tokens:,} tokens takes about {spoken(took)} here"
    less = {key: most for (key, most), now in zip(LESS.items(), (groups, tokens), strict=True) if most < now}
    if not less:
        return f"{said}."
    for key, value in less.items():
        section, _, name = key.partition(".")
        config = config.model_copy(update={section: getattr(config, section).model_copy(update={name: value})})
    settings = " ".join(f"--set {key}={value}" for key, value in less.items())
    return f"{said}; with {settings} about {spoken(make_plan(config, 'cpu')['seconds']['step'])}."


def spoken(seconds: float) -> str:
    """Seconds, minutes or hours, to two digits."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{float(f'{seconds:.2g}'):g} s"
