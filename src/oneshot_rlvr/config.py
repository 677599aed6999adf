"""Typed configuration: package defaults < method recipe < model profile < `--set` and the command's own flags.

Recipes (`recipes/*.yaml`) and profiles (`models/*.yaml`) are partial configurations. `resolve` merges them, refuses
unknown keys with the nearest valid name, and remembers where each value came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from oneshot_rlvr.errors import OneshotError, nearest


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused and nothing changes after it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSection(Section):
    """Which model, and how it runs."""

    path: str = Field(
        default="organism",
        description="`organism`, `second`, `control`, `tiny`, a model folder, or a Hugging Face name",
    )
    template: str = Field(
        default="boxed", description="prompt template: plain, boxed, hash, qwen25-math-cot, r1 or chat"
    )
    device: str = Field(default="auto", description="`auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`")
    dtype: Literal["float32", "float64", "bfloat16"] = Field(
        default="float32", description="dtype of the weights; bfloat16 ones have float32 masters in the optimizer"
    )
    autocast: Literal["bfloat16"] | None = Field(
        default=None, description="matrix products in this dtype over float32 weights"
    )
    gradient_checkpointing: bool = False
    lora_rank: int = Field(default=0, ge=0, description="train low-rank adapters (extra `lora`); 0 trains all weights")
    lora_alpha: int = Field(default=32, gt=0, description="adapters are scaled by lora_alpha / lora_rank")
    trust_remote_code: bool = Field(default=False, description="run Python code that the model folder brings")
    threads: int | None = Field(default=None, ge=1, description="torch threads; null leaves torch's choice")


class DataSection(Section):
    """Which problems are trained on."""

    problems: str = Field(default="organism", description="a jsonl, CSV or parquet file, or a named set")
    only: tuple[Annotated[str, BeforeValidator(str)], ...] = Field(
        default=(), description="ids of the problems to keep; empty keeps all"
    )
    skip_bad_rows: bool = Field(default=False, description="leave out rows without a question or an answer")


class SamplingSection(Section):
    """How rollouts are sampled in training."""

    temperature: float = Field(default=0.6, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0, description="0 keeps the whole vocabulary")
    max_prompt_tokens: int = Field(default=1024, ge=1)
    max_new_tokens: int = Field(default=3072, ge=1)
    sampler: Literal["lockstep", "vllm"] = Field(
        default="lockstep", description="vllm needs the extra `vllm` and a GPU"
    )
    vllm_memory: float = Field(
        default=0.5, gt=0, le=1, description="share of the GPU's memory for vLLM while it samples"
    )
    kv_cache_gib: float = Field(default=8.0, gt=0, description="memory for keys and values; more rollouts run in waves")


class BatchSection(Section):
    """How many rollouts a step has and how they are split into updates."""

    groups_per_step: int = Field(default=128, ge=1, description="groups a step; each is one problem's")
    group_size: int = Field(default=8, ge=1, description="rollouts of one prompt whose rewards are compared")
    minibatches: int = Field(default=1, ge=1, description="optimizer steps a pass over the rollouts")
    epochs: int = Field(default=1, ge=1, description="passes over the rollouts of a step")
    microbatch_tokens: int | None = Field(
        default=None, ge=1, description="tokens a forward pass, null for 512 on a CPU and 16384 on a GPU"
    )


class AlgorithmSection(Section):
    """The objective."""

    advantage: Literal["grpo", "dr_grpo"] = "grpo"
    clip_low: float = Field(default=0.2, ge=0, lt=1)
    clip_high: float = Field(default=0.2, ge=0)
    entropy_coefficient: float = Field(default=0.0, description="weight of the entropy bonus")
    kl_coefficient: float = Field(default=0.0, ge=0, description="weight of the KL loss; 0 loads no reference model")
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    reward: str = Field(
        default="accuracy", description="a reward, a weighted sum (accuracy + 0.5*overlong), or module:function"
    )


class GradingSection(Section):
    """How answers are compared with golds."""

    mode: str = Field(default="default", description="default, released, qwen-eval or gsm8k-strict")
    timeout: float = Field(default=3.0, gt=0, description="seconds of symbolic work on one answer")
    workers: int | None = Field(default=None, ge=1, description="processes for it; null for one a core, up to four")


class OptimizerSection(Section):
    """AdamW and its schedule."""

    learning_rate: float = Field(default=1e-6, ge=0, description="0 changes nothing: a no-op control")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    min_ratio: float = Field(default=0.0, ge=0, le=1, description="lowest learning rate, as a fraction of the highest")
    cycles: float = Field(default=0.5, gt=0, description="cosine waves; 0.5 falls once from highest to lowest")


class SpeedSection(Section):
    """What makes a step cheap; none of it changes the result beyond rounding, each can be off to measure it."""

    shared_prefix: bool = Field(default=True, description="encode a prompt once for all of its rollouts")
    compaction: bool = Field(default=True, description="stop computing rollouts that are finished")
    reuse_logprobs: bool = Field(default=True, description="an on-policy step takes its own log-probabilities as old")
    skip_zero_advantage: bool = Field(default=True, description="score no rollout that neither reward nor term needs")
    chunk_logits: bool = Field(default=True, description="hold few logits at once, and make them again backwards")
    sort_by_length: bool = Field(default=True, description="micro-batches of like length under the token budget")
    grade_once: bool = Field(default=True, description="grade identical responses once")
    share_histories: bool = Field(default=True, description="compute once what rollouts begin with in common")
    cuda_graphs: bool = Field(default=True, description="replay a decoding step on a GPU; not where autocast is on")


class RunSection(Section):
    """How long a run is, and what it leaves behind."""

    steps: int = Field(default=2000, ge=1)
    seed: int = Field(default=0, ge=0)
    save_every: int = Field(default=20, ge=1, description="steps between checkpoints")
    validate_every: int = Field(default=20, ge=0, description="steps between validations; 0 never validates")
    validation: str | None = Field(default=None, description="problems that choose the best checkpoint; null for none")
    validation_samples: int = Field(default=4, ge=1)
    keep_trainer_states: int = Field(default=2, ge=1, description="newest checkpoints that keep what resuming needs")
    loggers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()


class Config(Section):
    """Everything a training run depends on."""

    recipe: str = "grpo"
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    sampling: SamplingSection = SamplingSection()
    batch: BatchSection = BatchSection()
    algorithm: AlgorithmSection = AlgorithmSection()
    grading: GradingSection = GradingSection()
    optimizer: OptimizerSection = OptimizerSection()
    speed: SpeedSection = SpeedSection()
    run: RunSection = RunSection()

    @model_validator(mode="after")
    def _check(self) -> Config:
        if self.batch.groups_per_step % self.batch.minibatches:
            raise ValueError(
                f"batch.minibatches={self.batch.minibatches} does not divide "
                f"batch.groups_per_step={self.batch.groups_per_step}; choose a divisor"
            )
        if self.sampling.top_p < 1 or self.sampling.top_k:
            raise ValueError(
                "sampling.top_p and sampling.top_k change the distribution that is sampled but not the one that is "
                "trained; leave them at 1.0 and 0 in training (evaluation may use them)"
            )
        return self


LOCAL_PATHS = ("model.path", "data.problems", "run.validation")


def names(kind: Literal["recipes", "models"]) -> list[str]:
    """The shipped recipes or model profiles."""
    folder = resources.files("oneshot_rlvr") / kind
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def _read(kind: Literal["recipes", "models"], name: str) -> dict[str, Any]:
    text = (resources.files("oneshot_rlvr") / kind / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text) or {}


def _read_user_recipe(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OneshotError(f"cannot read this recipe: {error}", where=path, fix="Give a YAML file.") from error
    if not isinstance(values, dict):
        raise OneshotError("a recipe is a YAML mapping", where=path, fix="See src/oneshot_rlvr/recipes/grpo.yaml.")
    return values


def _recipe(recipe: str) -> dict[str, Any]:
    if recipe in names("recipes"):
        return _read("recipes", recipe)
    if recipe.endswith((".yaml", ".yml")):
        return _read_user_recipe(Path(recipe))
    raise OneshotError(f"unknown recipe {recipe!r}", fix=f"{nearest(recipe, names('recipes'))}, or give a YAML file.")


def _profile(model: str) -> dict[str, Any]:
    """A model's values by dotted key; a profile that is `like` another overrides some of its values."""
    if model in names("models"):
        values = _read("models", model)
        like = values.pop("like", None)
        return (_profile(like) if like else {}) | flatten(values)
    if Path(model).is_dir() or "/" in model:
        return {"model.path": model}
    raise OneshotError(
        f"unknown model {model!r}", fix=f"{nearest(model, names('models'))}, or give a model folder or owner/name."
    )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _overrides(settings: Sequence[str]) -> dict[str, Any]:
    values = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise OneshotError(
                f"--set {setting!r} is not key=value", fix="For example --set optimizer.learning_rate=1e-5"
            )
        try:
            values[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise OneshotError(f"--set {setting!r}: the value is not YAML", fix="Quote it.") from error
    return values


def valid_keys() -> list[str]:
    """Every configuration key, dotted."""
    return list(flatten(Config().model_dump()))


def build(flat: Mapping[str, Any], where: Mapping[str, str]) -> Config:
    """A checked configuration from dotted keys; `where` names each key's origin for the error message."""
    nested: dict[str, Any] = {}
    known = valid_keys()
    for key, value in flat.items():
        if key not in known:
            raise OneshotError(f"unknown configuration key {key!r}", where=where.get(key), fix=nearest(key, known))
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    try:
        return Config.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        message = first["msg"].removeprefix("Value error, ")
        raise OneshotError(f"{key}: {message}" if key else message, where=where.get(key)) from error


def resolve(
    recipe: str = "grpo",
    model: str = "organism",
    settings: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> tuple[Config, dict[str, str]]:
    """The configuration of a run and, for each dotted key, where its value came from.

    `settings` are `key=value` strings; `flags` are values of the command's own options, `None` where not given.

    Raises:
        OneshotError: unknown recipe, model or key (with the nearest valid name), or a value out of range.
    """
    layers = {
        f"recipe {recipe}": flatten(_recipe(recipe)),
        f"model profile {model}": _profile(model),
        "--set": _overrides(settings),
        "command line": {key: value for key, value in (flags or {}).items() if value is not None},
    }
    flat: dict[str, Any] = {"recipe": recipe}
    sources = {"recipe": "command line"}
    for origin, values in layers.items():
        flat |= values
        sources |= dict.fromkeys(values, origin)
    for key in LOCAL_PATHS:  # a run can be resumed and evaluated from another folder
        if key in flat and isinstance(flat[key], str) and Path(flat[key]).exists():
            flat[key] = str(Path(flat[key]).resolve())
    config = build(flat, sources)
    return config, {key: sources.get(key, "package default") for key in valid_keys()}
