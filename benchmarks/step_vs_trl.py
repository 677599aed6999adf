"""One training step beside TRL's GRPOTrainer doing the same work, interleaved A B A B in one process.

    python benchmarks/step_vs_trl.py --shape organism --json results/step_vs_trl.json
    python benchmarks/step_vs_trl.py --shape 20m --json results/step_vs_trl_20m.json
    python benchmarks/step_vs_trl.py --model FOLDER --json results/step_vs_trl_real.json

The same model, prompt, number of rollouts, dtype, threads, optimizer, reward and entropy term, no KL; a learning rate
so small that response lengths stay as they are. Each samples its own rollouts from the same distribution.

`organism`: the shipped organism on one of its problems, and ours without shared histories too. `20m`: a Qwen2 of 23.6 M
parameters with random weights and a prompt of 128 tokens, whose responses end as if by chance (mean about 64, longest
256), and once with all of them 256 long. `--model`: a real model on a question of words, 32 rollouts of at most 128
tokens, all cores; in bfloat16 ours has bfloat16 weights with float32 masters, TRL autocast over float32 weights. The
floor is operations over the machine's matrix rate.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from oneshot_rlvr.commands.session import chosen_problems
from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.grading import Response
from oneshot_rlvr.problems import Problem, get_template
from oneshot_rlvr.runs import Run
from oneshot_rlvr.training import prepare, train
from oneshot_rlvr.training.prepare import make_grader
from outcome import write
from shapes import WORDS, forward_operations, matrix_rate, prompt_text, spread, twenty_million, write_model

WARM_UP = 1
RATE = 1e-9
PARTS = ("sample", "grade", "update")


class OurSteps:
    """Runs our trainer one step at a time."""

    def __init__(self, config: Config, problem: Problem, folder: Path) -> None:
        self.trainer = prepare(config, Run(folder), [problem])
        self.config, self.steps = config, []

    def step(self) -> None:
        """One whole step: sample, grade, update, with its metrics and rollouts written as always."""
        steps = self.trainer.done + 1
        run = self.config.run.model_copy(update={"steps": steps, "save_every": 10**9})
        self.trainer.config = self.config.model_copy(update={"run": run})
        started = time.perf_counter()

        def on_step(step: int, total: int, metrics: dict[str, float]) -> None:  # before the final checkpoint is saved
            self.steps.append({"seconds": time.perf_counter() - started, **metrics})

        train(self.trainer, on_step=on_step)
        self.trainer.done = steps


class Alternate(TrainerCallback):
    """Times TRL's steps and takes one of each of ours after it."""

    def __init__(self, ours: Sequence[OurSteps]) -> None:
        self.ours, self.seconds, self.started = ours, [], 0.0

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """TRL's step starts: sampling, rewards and the update follow."""
        self.started = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """TRL's step is over."""
        self.seconds.append(time.perf_counter() - self.started)
        for ours in self.ours:
            ours.step()


def trl_trainer(
    config: Config, problem: Problem, steps: int, rows: int, folder: Path, callback: Alternate, lengths: list[float]
) -> GRPOTrainer:
    """TRL set to the same work, `rows` responses a forward pass."""
    source = model_folder(config.model.path)
    grader = make_grader(config)

    def reward(prompts: list[str], completions: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        lengths.append(statistics.mean(len(ids) for ids in completion_ids))
        responses = [Response(text, "stop", len(ids)) for text, ids in zip(completions, completion_ids, strict=True)]
        return [grade.reward or 0.0 for grade in grader.grade(problem, responses)]

    rollouts = config.batch.groups_per_step * config.batch.group_size
    prompt = get_template(config.model.template).render(problem.question)
    arguments = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=rollouts // rows,
        num_generations=config.batch.group_size,
        max_completion_length=config.sampling.max_new_tokens,
        temperature=config.sampling.temperature,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        weight_decay=config.optimizer.weight_decay,
        max_grad_norm=config.optimizer.max_grad_norm,
        beta=0.0,
        entropy_coef=config.algorithm.entropy_coefficient,
        max_steps=steps,
        use_cpu=True,
        bf16=config.model.dtype == "bfloat16",  # autocast over float32 weights, as ours has float32 masters
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    return GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32),
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": prompt}] * config.batch.groups_per_step * 2),
        processing_class=AutoTokenizer.from_pretrained(source, padding_side="left"),
        callbacks=[callback],
    )


def compare(config: Config, problem: Problem, steps: int, rows: int, without: Sequence[str] = ()) -> dict[str, Any]:
    """Figures of interleaved steps; `without` names mechanisms to switch off in a second trainer of ours."""
    off = config.speed.model_copy(update=dict.fromkeys(without, False))
    configs = [config] + [config.model_copy(update={"speed": off})] * bool(without)
    with tempfile.TemporaryDirectory() as scratch:
        ours = [OurSteps(c, problem, Path(scratch) / f"ours_{i}") for i, c in enumerate(configs)]
        torch.set_num_threads(config.model.threads or torch.get_num_threads())
        callback, trl_lengths = Alternate(ours), []
        trainer = trl_trainer(config, problem, WARM_UP + steps, rows, Path(scratch) / "trl", callback, trl_lengths)
        trainer.train()
        trainer_of = ours[0].trainer
        model, prompt = trainer_of.models.policy.model, len(trainer_of.source.encode(problem))
    mine, trl_s = ours[0].steps[WARM_UP:], callback.seconds[WARM_UP:]
    rollouts = config.batch.groups_per_step * config.batch.group_size
    length = statistics.mean(step["response/length_mean"] for step in mine)
    forward, rate = (
        forward_operations(model.config, prompt, [round(length)] * rollouts),
        matrix_rate(dtype=next(model.parameters()).dtype),
    )
    seconds = [step["seconds"] for step in mine]
    figures: dict[str, Any] = {
        "ours_s": spread(seconds),
        "trl_s": spread(trl_s),
        "ratio_median": statistics.median(trl_s) / statistics.median(seconds),
        "ratios": [theirs / mine for theirs, mine in zip(trl_s, seconds, strict=True)],
        "ours_parts_s": {name: spread([step[f"time/{name}_s"] for step in mine]) for name in PARTS},
        "rollouts": rollouts,
        "prompt_tokens": prompt,
        "response_length": {
            "ours_mean": length,
            "ours_longest": max(step["response/length_max"] for step in mine),
            "trl_mean": statistics.mean(trl_lengths[WARM_UP:]),
        },
        "matrix_rate_gflops": rate / 1e9,
        "floor_s": {"sample": forward / rate, "update": 3 * forward / rate, "step": 4 * forward / rate},
        "over_floor": statistics.median(seconds) / (4 * forward / rate),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if without:
        figures["without"] = {
            "off": list(without),
            "ours_s": spread([step["seconds"] for step in ours[1].steps[WARM_UP:]]),
        }
    return figures


def organism(steps: int, problem_id: str) -> dict[str, Any]:
    """The organism on one of its pool's problems."""
    settings = [f"data.only=[{problem_id}]", "algorithm.kl_coefficient=0", f"optimizer.learning_rate={RATE}"]
    config, _ = resolve("grpo", "organism", [*settings, "run.validate_every=0"])
    [problem] = chosen_problems(config)
    return compare(config, problem, steps, rows=128, without=["share_histories"])


def twenty(steps: int, groups: int) -> dict[str, Any]:
    """The 20 M model with spread lengths, and with all responses 256 long."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, stop, wanted in (("spread", 0.0153, steps), ("all_long", 0.0, max(2, steps // 2))):
            folder = Path(scratch) / name
            write_model(folder, twenty_million(), stop)
            settings = [
                "model.template=plain",
                "model.device=cpu",
                "model.threads=1",
                "sampling.temperature=1.0",
                "sampling.max_new_tokens=256",
                f"batch.groups_per_step={groups}",
                "algorithm.kl_coefficient=0",
                "algorithm.reward=random",
                f"optimizer.learning_rate={RATE}",
                "run.validate_every=0",
            ]
            config, _ = resolve("grpo", str(folder), settings)
            problem = Problem("words", prompt_text(110), "1", "made for this benchmark")
            found[name] = compare(config, problem, wanted, rows=32)
    return found["spread"] | {"all_long": found["all_long"]}


def real(folder: Path, steps: int, groups: int, dtype: str) -> dict[str, Any]:
    """A model folder's own responses to one question, on all cores."""
    settings = [
        "model.device=cpu",
        f"model.dtype={dtype}",
        "model.template=boxed",
        "sampling.temperature=1.0",
        "sampling.max_new_tokens=128",
        f"batch.groups_per_step={groups}",
        "algorithm.kl_coefficient=0",
        f"optimizer.learning_rate={RATE}",
        "run.validate_every=0",
    ]
    config, _ = resolve("grpo", str(folder), settings)
    return compare(config, WORDS, steps, rows=8) | {"dtype": dtype}


def main() -> None:
    """Run, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["organism", "20m"], default="organism")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--steps", type=int, help="measured steps of each (15 for the organism, 4 for 20m)")
    parser.add_argument("--groups", type=int, help="groups of 8 rollouts a step (16 for 20m, 4 for a real model)")
    parser.add_argument("--model", type=Path, help="a model folder instead of a shape")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of a model folder")
    parser.add_argument("--problem", default="pool-124", help="a problem of the organism's pool")
    options = parser.parse_args()
    if options.model:
        result = real(options.model, options.steps or 3, options.groups or 4, options.dtype)
    elif options.shape == "organism":
        result = organism(options.steps or 15, options.problem)
    else:
        result = twenty(options.steps or 4, options.groups or 16)
    result |= {
        "shape": options.model.name if options.model else options.shape,
        "threads": torch.get_num_threads(),
    }
    write(result, options.json, ["trl"])


if __name__ == "__main__":
    main()
