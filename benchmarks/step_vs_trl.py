"""One training step beside TRL's GRPOTrainer doing the same work, interleaved A B A B in one process.

The same model (the organism), prompt, number of rollouts, dtype, threads, optimizer, reward and entropy term, no KL; a
learning rate so small that response lengths stay as they are. Each samples its own rollouts from the same distribution.

    python benchmarks/step_vs_trl.py --json results/step_vs_trl.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from oneshot_rlvr.config import Config, resolve
from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.policy.model import model_folder
from oneshot_rlvr.problems import get_template
from oneshot_rlvr.rundir import RunDir
from oneshot_rlvr.session import chosen_problems, commit
from oneshot_rlvr.train import prepare, train

WARM_UP = 2
RATE = 1e-9


class OurSteps:
    """Runs our trainer one step at a time."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.trainer = prepare(config, RunDir(folder), chosen_problems(config))
        self.config, self.seconds, self.lengths, self.parts = config, [], [], []

    def step(self) -> None:
        """One whole step: sample, grade, update, with its metrics and rollouts written as always."""
        steps = self.trainer.done + 1
        run = self.config.run.model_copy(update={"steps": steps, "save_every": 10**9})
        self.trainer.config = self.config.model_copy(update={"run": run})
        started = time.perf_counter()

        def on_step(step: int, total: int, metrics: dict[str, float]) -> None:  # before the final checkpoint is saved
            self.seconds.append(time.perf_counter() - started)
            self.lengths.append(metrics["response/length_mean"])
            self.parts.append({name: metrics[f"time/{name}_s"] for name in ("sample", "grade", "update")})

        train(self.trainer, on_step=on_step)
        self.trainer.done = steps


class Alternate(TrainerCallback):
    """Times TRL's steps and takes one of ours after each."""

    def __init__(self, ours: OurSteps) -> None:
        self.ours, self.seconds, self.started = ours, [], 0.0

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """TRL's step starts: sampling, rewards and the update follow."""
        self.started = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """TRL's step is over."""
        self.seconds.append(time.perf_counter() - self.started)
        self.ours.step()


def trl_trainer(config: Config, steps: int, folder: Path, callback: Alternate, lengths: list[float]) -> GRPOTrainer:
    """TRL set to the same work."""
    [problem] = chosen_problems(config)
    source = model_folder(config.model.path)
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    grader = Grader(get_template(config.model.template))

    def reward(prompts: list[str], completions: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        lengths.append(statistics.mean(len(ids) for ids in completion_ids))
        responses = [Response(text, "stop", len(ids)) for text, ids in zip(completions, completion_ids, strict=True)]
        return [grade.reward or 0.0 for grade in grader.grade(problem, responses)]

    rollouts = config.batch.groups_per_step * config.batch.group_size
    prompt = get_template(config.model.template).render(problem.question)
    arguments = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=rollouts,
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
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    return GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32),
        reward_funcs=reward,  # pyright: ignore[reportArgumentType]
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": prompt}] * config.batch.groups_per_step * 2),
        processing_class=tokenizer,
        callbacks=[callback],
    )


def main() -> None:
    """Run, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--steps", type=int, default=15, help="measured steps of each")
    parser.add_argument("--problem", default="pool-004", help="a problem of the organism's pool")
    options = parser.parse_args()
    settings = [f"data.only=[{options.problem}]", "algorithm.kl_coefficient=0", f"optimizer.learning_rate={RATE}"]
    config, _ = resolve("grpo", "organism", [*settings, "run.validate_every=0"])
    with tempfile.TemporaryDirectory() as scratch:
        run = RunDir(Path(scratch) / "ours")
        with run.locked():
            ours = OurSteps(config, run.path)
            torch.set_num_threads(1)
            callback, trl_lengths = Alternate(ours), []
            trl_trainer(config, WARM_UP + options.steps, Path(scratch) / "trl", callback, trl_lengths).train()
    ours_s, trl_s = ours.seconds[WARM_UP:], callback.seconds[WARM_UP:]
    parts = {name: statistics.median(part[name] for part in ours.parts[WARM_UP:]) for name in ours.parts[0]}
    result = {
        "ours_s": ours_s,
        "trl_s": trl_s,
        "ours_median_s": statistics.median(ours_s),
        "trl_median_s": statistics.median(trl_s),
        "ratio_median": statistics.median(trl_s) / statistics.median(ours_s),
        "ours_parts_median_s": parts,
        "response_length_mean": {"ours": statistics.mean(ours.lengths), "trl": statistics.mean(trl_lengths)},
        "rollouts": config.batch.groups_per_step * config.batch.group_size,
        "threads": torch.get_num_threads(),
        "machine": platform.platform(),
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "oneshot-rlvr")},
        "commit": commit(),
    }
    print(
        f"ours {result['ours_median_s']:.3f} s a step, TRL {result['trl_median_s']:.3f} s: "
        f"{result['ratio_median']:.2f} times as long"
    )
    print(f"ours by part: {parts}; mean response length {result['response_length_mean']}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
