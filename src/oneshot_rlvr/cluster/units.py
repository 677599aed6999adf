"""Advantages, surrogates, aggregations, collectors and rewards on verl: its own where they are the same to the letter,
ours by our plugin where verl lacks them, refused by name where neither can be.
"""

from __future__ import annotations

from typing import Any

from oneshot_rlvr.algorithms import ADVANTAGES, AGGREGATIONS, SURROGATES
from oneshot_rlvr.cluster.shape import Shape
from oneshot_rlvr.config import Config, Unit
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import REWARDS
from oneshot_rlvr.training import COLLECTORS

OURS = "oneshot"  # what our plugin calls its estimator and its loss
NEVER = 1e9  # verl's second clip, of ratios that no float32 log-ratio of 20 reaches
_ESTIMATORS = {"grpo": ("grpo", True), "dr_grpo": ("grpo", False), "rloo": ("rloo", True)}
_IN_REWARD = ("gae", "reinforce_pp")
_MODES = {"token_mean": "token-mean", "sequence_mean": "seq-mean-token-mean"}


def refuse(unit: Unit, why: str) -> OneshotError:
    """A unit that a run on verl cannot have."""
    return OneshotError(why, where=f"{unit.where}={unit}", fix="Train with `oneshot train`, on one device.")


def advantage(value: str, config: Config, shape: Shape) -> dict[str, Any]:
    """verl's estimator: grpo, rloo, gae and reinforce_plus_plus are the same as ours; others run as our own."""
    unit = ADVANTAGES.unit(value)
    if unit.name in _IN_REWARD:
        return _steered(unit)
    needs = set(unit.trait("needs", ())) - {"zero_advantage"}
    if needs:
        raise refuse(unit, f"verl has no {', '.join(sorted(needs))} for an advantage")
    plain = {"algorithm.use_kl_in_reward": False}
    if unit.name in _ESTIMATORS and unit.options.get("epsilon", 1e-6) == 1e-6:
        name, by_std = _ESTIMATORS[unit.name]
        return plain | {"algorithm.adv_estimator": name, "algorithm.norm_adv_by_std_in_grpo": by_std}
    return plain | {"algorithm.adv_estimator": OURS}


def _steered(unit: Unit) -> dict[str, Any]:
    """`gae` and `reinforce_pp`, with their KL in the reward."""
    options = {"gamma": 1.0, "lam": 1.0, "whiten": True, "kl": 0.0, "estimator": "k1", "kl_target": None} | dict(
        unit.options
    )
    if not options["whiten"]:
        raise refuse(unit, "verl always whitens these advantages")
    if options["kl_target"] is not None:
        raise refuse(unit, "verl forgets a steered coefficient when it goes on with a run")
    found = {
        "algorithm.adv_estimator": "gae" if unit.name == "gae" else "reinforce_plus_plus",
        "algorithm.gamma": options["gamma"],
        "algorithm.lam": options["lam"],
        "algorithm.use_kl_in_reward": bool(options["kl"]),
    }
    if options["kl"]:
        found |= {
            "algorithm.kl_penalty": options["estimator"],
            "algorithm.kl_ctrl.type": "fixed",
            "algorithm.kl_ctrl.kl_coef": options["kl"],
        }
    return found


def surrogate(value: str, config: Config, shape: Shape) -> dict[str, Any]:
    """verl's `vanilla` is our `clipped`, its second clip out of reach; every other surrogate runs as our own."""
    section = config.algorithm
    unit = SURROGATES.unit(value, {"clip_low": section.clip_low, "clip_high": section.clip_high})
    key, second = "actor_rollout_ref.actor.policy_loss.loss_mode", "actor_rollout_ref.actor.clip_ratio_c"
    own = (unit.options.get("clip_low"), unit.options.get("clip_high"))
    if unit.name == "clipped" and own == (section.clip_low, section.clip_high):
        return {key: "vanilla", second: unit.options.get("dual") or NEVER}
    if needs := set(unit.trait("needs", ())) - {"zero_advantage"}:
        raise refuse(unit, f"verl has no {', '.join(sorted(needs))} for a loss")
    return {key: OURS}


def aggregation(value: str, config: Config, shape: Shape) -> dict[str, Any]:
    """verl's modes, whose denominators are the whole minibatch's too."""
    unit = AGGREGATIONS.unit(value, {"length": config.sampling.max_new_tokens})
    key = "actor_rollout_ref.actor.loss_agg_mode"
    if unit.name in _MODES:
        return {key: _MODES[unit.name]}
    if unit.name == "constant_length":
        scale = {"actor_rollout_ref.actor.loss_scale_factor": unit.options["length"]}
        return {key: "seq-mean-token-sum-norm"} | scale
    raise refuse(unit, "verl divides by tokens or sequences of a minibatch, or by a constant")


def collector(config: Config) -> None:
    """Refuse what our agent loop does not do: `once` and `hint` are done.

    Raises:
        OneshotError: another collector.
    """
    unit = COLLECTORS.unit(config.algorithm.collector)
    if unit.name not in ("once", "hint"):
        raise refuse(unit, "a run on verl samples each group once, or again with hints")


def reward(config: Config) -> None:
    """Refuse rewards that compare the responses of a group: verl asks for one response's at a time.

    Raises:
        OneshotError: such a reward.
    """
    for _, unit in REWARDS.sum(config.algorithm.reward):
        if unit.trait("group", False):
            raise refuse(unit, "it compares the responses of a group, and verl asks for one at a time")
        if ":" in unit.name and not hasattr(unit.function, "group"):
            raise OneshotError(
                "verl asks for one response's reward at a time, and nobody says whether this one compares them",
                where=f"{unit.where}={unit}",
                fix=f"If it does not, say so beside it: {unit.name.partition(':')[2]}.group = False.",
            )
        if unit.trait("loads", False):
            raise refuse(unit, "it loads a model of its own in every reward worker")


def penalties(config: Config) -> None:
    """Refuse an estimator of KL that verl does not have.

    Raises:
        OneshotError: neither k1, k2 nor k3.
    """
    if config.algorithm.kl_estimator not in ("k1", "k2", "k3"):
        raise OneshotError(
            "verl has k1, k2 and k3",
            where=f"algorithm.kl_estimator={config.algorithm.kl_estimator}",
            fix="Choose one of them.",
        )
