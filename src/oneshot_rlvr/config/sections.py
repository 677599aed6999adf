"""The configuration's sections: every key with its type, default, bounds and meaning."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator


def _one_or_more(value: object) -> object:
    """A single word where a list is wanted."""
    return (value,) if isinstance(value, str) else value


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused and nothing changes after it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSection(Section):
    """Which model, and how it runs."""

    path: str = Field(
        default="organism", description="a registered model (`organism`), a model folder, or a Hugging Face name"
    )
    template: str = Field(
        default="boxed",
        description="prompt template: plain, bare, boxed, hash, qwen25-math-cot, r1 or chat; or your own file, "
        "YAML or Jinja",
    )
    device: str = Field(default="auto", description="`auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`")
    dtype: Literal["auto", "float32", "float64", "bfloat16"] = Field(
        default="auto",
        description="dtype of the weights; bfloat16 ones have float32 masters in the optimizer. `auto`: bfloat16 where "
        "the device multiplies it natively, float32 elsewhere and for models below 64 MiB",
    )
    autocast: Literal["bfloat16"] | None = Field(
        default=None, description="matrix products in this dtype over float32 weights"
    )
    gradient_checkpointing: bool = Field(default=False, description="recompute activations backwards: less memory")
    lora_rank: int = Field(
        default=0, ge=0, le=65_536, description="train low-rank adapters (extra `lora`); 0 trains all weights"
    )
    lora_alpha: int = Field(default=32, gt=0, le=1_000_000, description="adapters are scaled by lora_alpha / lora_rank")
    trust_remote_code: bool = Field(default=False, description="run Python code that the model folder brings")
    threads: int | None = Field(default=None, ge=1, le=1024, description="torch threads; null leaves torch's choice")

    def of_weights(self, path: object) -> ModelSection:
        """How a run's weights at `path` are loaded: as its model, or in float32 where adapters were merged into them.

        What adapters learn is less than bfloat16 tells apart in the weights that it is added to.
        """
        short = self.lora_rank and self.dtype != "float64"
        exact = {"dtype": "float32", "autocast": None} if short else {}
        return self.model_copy(update={"path": str(path), **exact})


class DataSection(Section):
    """Which problems are trained on."""

    problems: str = Field(
        default="organism",
        description="a jsonl, CSV or parquet file, or a named set; `SET:pi_1` is its highest-ranked problem, "
        "`SET:pi_1,pi_13` and `SET:pi_1-pi_16` are several; `pool` stands for data.pool",
    )
    pool: str = Field(default="organism", description="the set that a model's examples are chosen from")
    only: Annotated[tuple[Annotated[str, BeforeValidator(str)], ...], BeforeValidator(_one_or_more)] = Field(
        default=(),
        description="ids of the problems to keep, of the pool if data.problems is not given; empty keeps all",
    )
    skip_bad_rows: bool = Field(default=False, description="leave out rows without a question or an answer")


class SamplingSection(Section):
    """How rollouts are sampled in training."""

    temperature: float = Field(default=0.6, ge=0.01, le=100, description="of the softmax that is sampled and trained")
    top_p: float = Field(default=1.0, ge=1e-6, le=1, description="1 in training; an evaluation may have less")
    top_k: int = Field(default=0, ge=0, le=10_000_000, description="0 keeps the whole vocabulary")
    max_prompt_tokens: int = Field(default=1024, ge=1, le=10_000_000, description="a longer prompt is refused")
    max_new_tokens: int = Field(default=3072, ge=1, le=10_000_000, description="of a response; then it is truncated")
    stop_at_turn_end: bool = Field(
        default=True,
        description="the template's end of turn ends a response in training; in evaluation it always does",
    )
    stop_strings: tuple[str, ...] = Field(
        default=(), description="texts that end a response, besides the model's end tokens; they are not part of it"
    )
    stop_ids: tuple[Annotated[int, Field(ge=0, le=10_000_000)], ...] = Field(
        default=(), description="ids of tokens that end a response, besides the model's end tokens"
    )
    sampler: str = Field(default="lockstep", description="of training and evaluation; `oneshot methods` lists them")
    vllm_memory: float = Field(
        default=0.5, ge=0.01, le=1, description="share of the GPU's memory for vLLM while it samples"
    )
    kv_cache_gib: float = Field(
        default=8.0, ge=1e-6, le=1e6, description="memory for keys and values; more rollouts run in waves"
    )


class BatchSection(Section):
    """How many rollouts a step has and how they are split into updates."""

    groups_per_step: int = Field(default=128, ge=1, le=1_000_000, description="groups a step; each is one problem's")
    group_size: int = Field(
        default=8, ge=1, le=1_000_000, description="rollouts of one prompt whose rewards are compared"
    )
    minibatches: int = Field(default=1, ge=1, le=1_000_000, description="optimizer steps a pass over the rollouts")
    epochs: int = Field(default=1, ge=1, le=1000, description="passes over the rollouts of a step")
    microbatch_tokens: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="tokens a forward pass, null for 512 on a CPU and 16384 on a GPU",
    )


class AlgorithmSection(Section):
    """The method: collector, reward, advantage x surrogate x aggregation + penalties.

    Each names a unit in the grammar of `spec.py`: one of ours (`oneshot methods` lists them) or `module:function`.
    """

    collector: str = Field(default="once", description="where graded groups come from")
    reward: str = Field(default="accuracy", description="what a response earns; a weighted sum is one too")
    advantage: str = Field(default="grpo", description="from rewards to a weight for every token")
    surrogate: str = Field(default="clipped", description="what is minimised at every token")
    aggregation: str = Field(default="token_mean", description="from tokens to one number")
    clip_low: float = Field(
        default=0.2, ge=0, lt=1, description="of surrogates that clip: the ratio's least is 1 - this"
    )
    clip_high: float = Field(
        default=0.2, ge=0, le=1e6, description="of surrogates that clip: the ratio's most is 1 + this"
    )
    entropy_coefficient: float = Field(
        default=0.0, ge=-1e6, le=1e6, description="weight of the entropy bonus; below 0 a penalty"
    )
    kl_coefficient: float = Field(
        default=0.0, ge=0, le=1e6, description="weight of the KL loss; 0 loads no reference model"
    )
    kl_estimator: str = Field(default="k3", description="k1, k2 or k3, of the KL loss")
    teacher: str | None = Field(default=None, description="the model that a unit which needs a teacher compares with")
    penalties: str = Field(default="", description="further terms of the loss, a weighted sum; empty for none")


class GradingSection(Section):
    """How answers are compared with golds."""

    mode: str = Field(default="default", description="default, released, qwen-eval or gsm8k-strict")
    timeout: float = Field(default=3.0, ge=0.01, le=3600, description="seconds of symbolic work on one answer")
    workers: int | None = Field(
        default=None, ge=1, le=256, description="processes for it; null for one a core, up to four"
    )


class OptimizerSection(Section):
    """AdamW and its schedule."""

    learning_rate: float = Field(default=1e-6, ge=0, le=1000, description="0 changes nothing: a no-op control")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=(0.9, 0.999), description="of AdamW's moving averages"
    )
    eps: float = Field(default=1e-8, ge=1e-30, le=1, description="AdamW's epsilon")
    moments: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="dtype of AdamW's two moments; bfloat16 trains a weight in 12 bytes in place of 16 to 18",
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1000, description="decoupled, as AdamW has it")
    max_grad_norm: float = Field(default=1.0, ge=1e-12, le=1e12, description="a longer gradient is scaled to this norm")
    schedule: Literal["constant", "cosine"] = Field(
        default="constant", description="of the learning rate, after warmup"
    )
    warmup_steps: int = Field(default=0, ge=0, le=100_000_000, description="steps from 0 to the highest learning rate")
    min_ratio: float = Field(default=0.0, ge=0, le=1, description="lowest learning rate, as a fraction of the highest")
    cycles: float = Field(
        default=0.5, ge=1e-6, le=1e6, description="cosine waves; 0.5 falls once from highest to lowest"
    )


class CriticSection(Section):
    """The critic of algorithms that need values (`gae`)."""

    path: str | None = Field(default=None, description="the model that it begins as; null for the policy's")
    learning_rate: float = Field(default=1e-5, ge=0, le=1000, description="constant; 0 leaves all values 0")
    weight_decay: float = Field(default=0.01, ge=0, le=1000, description="decoupled, as AdamW has it")
    max_grad_norm: float = Field(default=1.0, ge=1e-12, le=1e12, description="a longer gradient is scaled to this norm")
    clip: float = Field(default=0.5, ge=0, le=1e6, description="how far an update may take a value before it stops")
    warmup_steps: int = Field(
        default=0, ge=0, le=100_000_000, description="first steps, in which it learns and the policy does not"
    )


class SpeedSection(Section):
    """What makes a step cheap; none of it changes the result beyond rounding (that of `microbatch_mean` it does), and
    each can be off to measure it."""

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

    steps: int = Field(default=2000, ge=1, le=100_000_000, description="of training; `--resume --steps` goes further")
    stop_when: str | None = Field(
        default=None,
        max_length=200,
        description="`METRIC < NUMBER`: a run ends after the first step whose metric is below: before a collapse, say",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="of everything random")
    save_every: int = Field(default=20, ge=1, le=100_000_000, description="steps between checkpoints")
    validate_every: int = Field(
        default=20, ge=0, le=100_000_000, description="steps between validations; 0 never validates"
    )
    validation: str | None = Field(default=None, description="problems that choose the best checkpoint; null for none")
    validation_samples: int = Field(default=4, ge=1, le=100_000, description="responses to each validation problem")
    keep_trainer_states: int = Field(
        default=2, ge=1, le=1_000_000, description="newest checkpoints that keep what resuming needs"
    )
    loggers: Annotated[tuple[Literal["tensorboard", "wandb", "trackio"], ...], BeforeValidator(_one_or_more)] = Field(
        default=(), description="live metrics besides metrics.jsonl; may be changed when a run is resumed"
    )

    @field_validator("stop_when")
    @classmethod
    def _condition(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w/@.-]+ < -?\d+\.?\d*(e-?\d{1,2})?", value):
            raise ValueError(f"cannot read {value[:80]!r}; write METRIC < NUMBER, for example answer/entropy < 0.02")
        if value is not None and value.startswith("validation/"):
            raise ValueError("validation is not measured at every step; name another metric")
        return value


class Config(Section):
    """Everything a training run depends on."""

    recipe: str = Field(default="grpo", description="the recipe's name; it is told, not read")
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    sampling: SamplingSection = SamplingSection()
    batch: BatchSection = BatchSection()
    algorithm: AlgorithmSection = AlgorithmSection()
    grading: GradingSection = GradingSection()
    optimizer: OptimizerSection = OptimizerSection()
    critic: CriticSection = CriticSection()
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
