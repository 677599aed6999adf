"""What becomes of every configuration key on verl: mapped, carried by the export, the local loop's alone, or refused.

Each key stands in exactly one of the four tables (a test compares them with the configuration), so that a key is never
dropped. Written for verl 0.9.1; `docs/cluster.md` prints the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oneshot_rlvr.cluster.shape import Shape
from oneshot_rlvr.cluster.units import advantage, aggregation, collector, penalties, reward, surrogate
from oneshot_rlvr.config import Config, flatten
from oneshot_rlvr.errors import OneshotError

Overrides = dict[str, Any]  # verl's keys
ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
MODEL, CRITIC = "actor_rollout_ref.model", "critic"


@dataclass(frozen=True)
class Mapped:
    """The verl keys that take a value's place; `of` changes it on the way, or gives a value for each key."""

    keys: tuple[str, ...]
    of: Callable[[Any, Config, Shape], Any] = lambda value, config, shape: value

    def __call__(self, value: Any, config: Config, shape: Shape) -> Overrides:
        found = self.of(value, config, shape)
        return found if isinstance(found, dict) else dict.fromkeys(self.keys, found)


@dataclass(frozen=True)
class Refused:
    """A key that has to stay at `only`, and why."""

    only: Any
    why: str


def to(*keys: str) -> Mapped:
    """The value as it is."""
    return Mapped(keys)


def _dtype(value: str, config: Config, shape: Shape) -> Overrides:
    """Masters are float32 in any case. Flash attention takes no float32, and a critic on GPUs takes no other."""
    low = shape.on_gpus and (value != "float32" or config.model.autocast is not None)
    param, sampled = ("bf16", "bfloat16") if low else ("fp32", "float32")
    parts = {f"{ACTOR}.fsdp_config": param, "actor_rollout_ref.ref.fsdp_config": param}
    parts[f"{CRITIC}.fsdp"] = "bf16" if shape.on_gpus else "fp32"
    found: Overrides = {f"{part}.model_dtype": "fp32" for part in parts}
    found |= {f"{part}.mixed_precision.param_dtype": own for part, own in parts.items()} | {f"{ROLLOUT}.dtype": sampled}
    if not low:
        found |= {f"{MODEL}.use_remove_padding": False, f"{MODEL}.override_config.attn_implementation": "sdpa"}
    return found


def _checked_dtype(value: str, config: Config, shape: Shape) -> Overrides:
    if value == "float64":
        raise OneshotError(
            "verl trains in float32 or bfloat16", where="model.dtype=float64", fix="--set model.dtype=auto."
        )
    return _dtype(value, config, shape)


def _tokens(value: int | None, config: Config, shape: Shape) -> int:
    longest = config.sampling.max_prompt_tokens + config.sampling.max_new_tokens
    return max(value or (16_384 if shape.on_gpus else 4_096), longest)


def _kl(value: float, config: Config, shape: Shape) -> Overrides:
    used = {f"{ACTOR}.use_kl_loss": bool(value)}
    return used | ({f"{ACTOR}.kl_loss_coef": value} if value else {})


def _critic_rate(value: float, config: Config, shape: Shape) -> Any:
    if "values" in shape.needs and value == 0:
        raise OneshotError(
            "a critic of rate 0 says 0 here, and something random on verl",
            where="critic.learning_rate=0",
            fix="Use --set algorithm.advantage=reinforce_pp: the same without a critic.",
        )
    return value


def _validation(value: str | None, config: Config, shape: Shape) -> Overrides:
    kwargs = f"{ROLLOUT}.val_kwargs"
    used = value is not None and config.run.validate_every > 0
    files = "validation.parquet" if used else "train.parquet"  # verl opens one in any case
    sampled = {f"{kwargs}.do_sample": True, f"{kwargs}.temperature": shape.validation_temperature}
    return {
        "data.val_files": f"{shape.inside}/{files}",
        "trainer.test_freq": config.run.validate_every if used else -1,
        "trainer.val_before_train": False,
        **sampled,
    }


MAPPED: dict[str, Mapped] = {
    "recipe": to("trainer.experiment_name"),
    "model.dtype": Mapped((f"{ACTOR}.fsdp_config.mixed_precision.param_dtype", f"{ROLLOUT}.dtype"), _checked_dtype),
    "model.gradient_checkpointing": to(
        f"{MODEL}.enable_gradient_checkpointing", f"{CRITIC}.model.enable_gradient_checkpointing"
    ),
    "model.lora_rank": to(f"{MODEL}.lora_rank"),
    "model.lora_alpha": to(f"{MODEL}.lora_alpha"),
    "model.trust_remote_code": to(
        f"{MODEL}.trust_remote_code", f"{CRITIC}.model.trust_remote_code", "data.trust_remote_code"
    ),
    "sampling.temperature": to(f"{ROLLOUT}.temperature"),
    "sampling.top_p": to(f"{ROLLOUT}.top_p"),
    "sampling.top_k": Mapped((f"{ROLLOUT}.top_k",), lambda value, config, shape: value or -1),
    "sampling.max_prompt_tokens": to("data.max_prompt_length"),
    "sampling.max_new_tokens": to("data.max_response_length"),
    "sampling.vllm_memory": to(f"{ROLLOUT}.gpu_memory_utilization"),
    "batch.groups_per_step": to("data.train_batch_size"),
    "batch.group_size": to(f"{ROLLOUT}.n"),
    "batch.minibatches": Mapped(
        (f"{ACTOR}.ppo_mini_batch_size", f"{CRITIC}.ppo_mini_batch_size"),
        lambda value, config, shape: config.batch.groups_per_step // value,
    ),
    "batch.epochs": to(f"{ACTOR}.ppo_epochs", f"{CRITIC}.ppo_epochs"),
    "batch.microbatch_tokens": Mapped(
        (
            f"{ACTOR}.ppo_max_token_len_per_gpu",
            f"{CRITIC}.ppo_infer_max_token_len_per_gpu",
        ),
        _tokens,
    ),
    "algorithm.advantage": Mapped(("algorithm.adv_estimator", "algorithm.norm_adv_by_std_in_grpo"), advantage),
    "algorithm.surrogate": Mapped((f"{ACTOR}.policy_loss.loss_mode", f"{ACTOR}.clip_ratio_c"), surrogate),
    "algorithm.aggregation": Mapped((f"{ACTOR}.loss_agg_mode", f"{ACTOR}.loss_scale_factor"), aggregation),
    "algorithm.clip_low": to(f"{ACTOR}.clip_ratio", f"{ACTOR}.clip_ratio_low"),
    "algorithm.clip_high": to(f"{ACTOR}.clip_ratio_high"),
    "algorithm.entropy_coefficient": to(f"{ACTOR}.entropy_coeff"),
    "algorithm.kl_coefficient": Mapped((f"{ACTOR}.use_kl_loss", f"{ACTOR}.kl_loss_coef"), _kl),
    "algorithm.kl_estimator": to(f"{ACTOR}.kl_loss_type"),
    "optimizer.learning_rate": to(f"{ACTOR}.optim.lr"),
    "optimizer.betas": Mapped(
        (f"{ACTOR}.optim.betas", f"{CRITIC}.optim.betas"), lambda value, config, shape: list(value)
    ),
    "optimizer.eps": Mapped(
        (f"{ACTOR}.optim.override_optimizer_config", f"{CRITIC}.optim.override_optimizer_config"),
        lambda value, config, shape: {
            f"{part}.optim.override_optimizer_config": {"eps": value} for part in (ACTOR, CRITIC)
        },
    ),
    "optimizer.weight_decay": to(f"{ACTOR}.optim.weight_decay"),
    "optimizer.max_grad_norm": to(f"{ACTOR}.optim.clip_grad"),
    "optimizer.schedule": to(f"{ACTOR}.optim.lr_scheduler_type"),
    "optimizer.warmup_steps": to(f"{ACTOR}.optim.lr_warmup_steps"),
    "optimizer.min_ratio": to(f"{ACTOR}.optim.min_lr_ratio"),
    "optimizer.cycles": to(f"{ACTOR}.optim.num_cycles"),
    "critic.path": Mapped(
        (f"{CRITIC}.model.path",), lambda value, config, shape: shape.model if value is None else shape.critic
    ),
    "critic.learning_rate": Mapped((f"{CRITIC}.optim.lr",), _critic_rate),
    "critic.weight_decay": to(f"{CRITIC}.optim.weight_decay"),
    "critic.max_grad_norm": to(f"{CRITIC}.optim.clip_grad"),
    "critic.clip": to(f"{CRITIC}.cliprange_value"),
    "critic.warmup_steps": Mapped(  # verl counts steps from 1, and trains the policy at the one that it names
        ("trainer.critic_warmup",), lambda value, config, shape: value + 1 if value else 0
    ),
    "run.steps": to("trainer.total_training_steps"),
    "run.seed": to("data.seed", f"{ROLLOUT}.seed", f"{ACTOR}.data_loader_seed", f"{ACTOR}.fsdp_config.seed"),
    "run.save_every": to("trainer.save_freq"),
    "run.validation": Mapped(("data.val_files", "trainer.test_freq"), _validation),
    "run.validation_samples": to(f"{ROLLOUT}.val_kwargs.n"),
    "run.loggers": Mapped(("trainer.logger",), lambda value, config, shape: ["console", "file", *value]),
}

CARRIED: dict[str, str] = {
    "model.path": "the model's folder or hub name; a model of this package is copied into the export",
    "model.template": "prompts are written and encoded by our code inside verl (`inside/agent.py`)",
    "model.autocast": "as `model.dtype`: products are in bfloat16 over float32 masters",
    "model.device": "`--gpus`: 0 for a CPU",
    "model.threads": "`OMP_NUM_THREADS` in `run.sh`",
    "data.problems": "`train.parquet`: the problems of every step, in the local loop's order",
    "data.pool": "as `data.problems`",
    "data.only": "as `data.problems`",
    "data.skip_bad_rows": "as `data.problems`",
    "sampling.stop_at_turn_end": "end tokens are given to every request (`inside/agent.py`)",
    "sampling.stop_strings": "as `sampling.stop_at_turn_end`",
    "sampling.stop_ids": "as `sampling.stop_at_turn_end`",
    "algorithm.collector": "`once`; `hint` is done by `inside/agent.py`",
    "algorithm.reward": "`reward.py`, with our grader",
    "grading.mode": "`reward.py`",
    "grading.timeout": "`reward.py`",
    "grading.workers": "`reward.py`: processes of each of verl's reward workers",
    "run.validate_every": "`trainer.test_freq`, where there are validation problems",
}

LOCAL: dict[str, str] = {
    "sampling.sampler": "vLLM samples on GPUs, this package's sampler on a CPU",
    "sampling.kv_cache_gib": "vLLM plans its own memory: `sampling.vllm_memory`",
    "algorithm.teacher": "read by units alone that are refused here",
    "speed.shared_prefix": "how a step is computed, not what",
    "speed.compaction": "how a step is computed, not what",
    "speed.reuse_logprobs": "how a step is computed, not what",
    "speed.skip_zero_advantage": "how a step is computed, not what",
    "speed.chunk_logits": "how a step is computed, not what",
    "speed.sort_by_length": "how a step is computed, not what",
    "speed.grade_once": "how a step is computed, not what",
    "speed.share_histories": "how a step is computed, not what",
    "speed.cuda_graphs": "how a step is computed, not what",
    "run.keep_trainer_states": "verl keeps the trainer's state in every checkpoint",
}

REFUSED: dict[str, Refused] = {
    "algorithm.penalties": Refused("", "verl's loss has room for an entropy and a KL term alone"),
    "optimizer.moments": Refused("float32", "verl's AdamW keeps its moments in float32"),
    "run.stop_when": Refused(None, "verl runs to its last step"),
}


def overrides(config: Config, shape: Shape) -> Overrides:
    """verl's settings for a configuration, those of the machine not among them.

    Raises:
        OneshotError: a setting that verl cannot have; it is named.
    """
    values = flatten(config.model_dump())
    for key, refused in REFUSED.items():
        if values[key] != refused.only:
            raise OneshotError(
                refused.why, where=f"{key}={values[key]}", fix=f"Leave it at {refused.only!r}, or train here."
            )
    collector(config)
    reward(config)
    penalties(config)
    found: Overrides = {}
    for key, mapped in MAPPED.items():
        found |= mapped(values[key], config, shape)
    return found


def tables() -> Mapping[str, Mapping[str, str]]:
    """Every key by its fate, and in words where it went: for the documentation."""
    return {
        "Mapped": {key: ", ".join(f"`{name}`" for name in mapped.keys) for key, mapped in MAPPED.items()},
        "Carried by the export": CARRIED,
        "The local loop's alone": LOCAL,
        "Refused": {key: f"unless {refused.only!r}: {refused.why}" for key, refused in REFUSED.items()},
    }
