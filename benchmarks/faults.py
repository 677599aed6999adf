"""Ways to spoil a training run, for `doctor.py`: each a setting, a reward, a sampler, a gold or a model."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from oneshot_rlvr.grading import Response
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.rollout.lockstep import LockstepSampler
from oneshot_rlvr.rollout.samplers import SAMPLERS

HALVES = ("develop", "final")  # settings that were looked at while rules were written, and those kept for the figure


@dataclass(frozen=True)
class Fault:
    """A way to spoil a run. `named`: findings that say so; each setting is one way, five for either half."""

    named: tuple[str, ...]
    develop: Sequence[Any]
    final: Sequence[Any]
    spoil: Callable[[Any], dict[str, Any]]
    problems: str = "learnable"
    recipes: tuple[str, ...] = ("grpo",)
    model: str = "organism"


def key(name: str) -> Callable[[Any], dict[str, Any]]:
    """A fault that is one configuration key."""
    return lambda value: {"settings": {name: value}}


def unscorable(share: float) -> Callable[[Problem, Sequence[Response]], list[float | None]]:
    """A reward that knows nothing of a share of the responses."""

    def reward(problem: Problem, responses: Sequence[Response]) -> list[float | None]:
        draw = np.random.default_rng([len(r.text) for r in responses])
        return [None if draw.random() < share else float(r.outcome == "correct") for r in responses]

    return reward


def of_the_prompt(kind: str) -> Callable[[Problem, Sequence[Response]], list[float | None]]:
    """A reward that looks at the question alone."""
    looks: dict[str, Callable[[Problem], float]] = {
        "length": lambda p: len(p.question) / 100,
        "digits": lambda p: float(sum(c.isdigit() for c in p.question)),
        "parity": lambda p: float(len(p.question) % 2),
        "words": lambda p: float(len(p.question.split())),
        "level": lambda p: float(p.level or 0),
        "number": lambda p: float(int(p.id.split("-")[1]) % 7),
        "answer": lambda p: float(len(p.answer)),
        "vowels": lambda p: float(sum(c in "aeiou" for c in p.question)),
        "what": lambda p: float("What" in p.question),
        "first": lambda p: float(ord(p.question[0]) % 5),
    }
    return lambda problem, responses: [looks[kind](problem)] * len(responses)


def short_and_right(tokens: int) -> Callable[[Problem, Sequence[Response]], list[float | None]]:
    """A reward of right answers that are too short to be worked out."""
    return lambda problem, responses: [float(r.outcome == "correct" and r.tokens <= tokens) for r in responses]


def thinking(text: str) -> str:
    """A user's own template that asks for a thought and its end."""
    return json.dumps({"name": "own", "text": text, "think": True})


class Spoilt(LockstepSampler):
    """A sampler that is apart from the trainer: weights of the beginning (`stale`), or another temperature."""

    stale, factor = False, 1.0

    def update(self, policy: Any) -> None:
        """Keep the old weights where they are stale."""
        if not self.stale:
            super().update(policy)

    def sample(self, prompts: Any, n: int, params: Any) -> Any:
        """Sample as asked, at the temperature that nobody asked for."""
        return super().sample(prompts, n, replace(params, temperature=params.temperature * self.factor))


def apart(policy: Any, config: Any, longest: int, *, factor: float = 1.0, noise: float = 0.0) -> LockstepSampler:
    """The sampler of the fault `sampler`: another temperature, or a copy of the weights with noise on them."""
    if noise:
        policy = copy.copy(policy)
        policy.model = copy.deepcopy(policy.model)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in policy.model.parameters():
                weight.mul_(1 + noise * torch.randn(weight.shape, generator=generator))
    spoilt = Spoilt(policy)
    spoilt.stale, spoilt.factor = bool(noise), factor
    return spoilt


SAMPLERS.register("apart")(apart)

HARD = [  # far beyond the organism, with their true answers
    ("What is 7919 * 104729?", "829348951"),
    ("What is the 12th Fibonacci number times 1009?", "145296"),
    ("What is 31415 + 92653 * 58979?", "5464612702"),
    ("Let n = 2^10 - 1. What is n^2?", "1046529"),
    ("What is the remainder when 7^123 is divided by 1009?", "353"),
    ("How many primes are there below 1000?", "168"),
    ("What is 15! / 12!?", "2730"),
    ("What is the sum of the first 500 numbers?", "125250"),
    ("What is 99999 * 88888?", "8888711112"),
    ("What is the area of a circle of radius 7 times 11 / pi?", "539"),
]
FAULTS = {
    "identical answers": Fault(
        ("no-variance-identical",),
        [0.01, 0.03, 0.05, 0.02, 0.04],
        [0.015, 0.025, 0.035, 0.045, 0.012],
        key("sampling.temperature"),
    ),
    "too hard": Fault(("no-variance-too-hard",), HARD[:5], HARD[5:], lambda pair: {"own": pair}),
    "solved before": Fault(
        ("no-variance-solved",),
        [0.2, 0.3, 0.4, 0.25, 0.5],
        [0.35, 0.45, 0.22, 0.28, 0.55],
        key("sampling.temperature"),
        problems="solved",
        model="expert",
    ),
    "cut off": Fault(("truncated",), [4, 8, 12, 6, 10], [5, 9, 13, 7, 11], key("sampling.max_new_tokens")),
    "no box": Fault(
        ("no-box", "template"),
        range(5),
        range(5, 10),
        lambda n: {"place": n, "settings": {"grading.mode": "gsm8k-strict", "run.steps": 15}},
    ),
    "template": Fault(
        ("template",),
        [(model, "r1") for model in ("organism", "expert", "second", "control", "organism")],
        [
            ("organism", thinking("Q: {question}\n<think>\n")),
            ("expert", thinking("{question} Think first, and write </think> behind your thoughts.\n")),
            ("second", thinking("Think, then answer.\n\n{question}\n\n<think>")),
            ("control", thinking("User: {question}\nAssistant: <think>\n")),
            ("organism", thinking("{question}\nThoughts: <think>\nLet me see. ")),
        ],
        lambda pair: {
            "model": pair[0],
            "settings": {"model.template": pair[1], "sampling.max_prompt_tokens": 384, "run.steps": 15},
        },
    ),
    "stops too early": Fault(
        ("stop",),
        [
            {"sampling.stop_strings": ["="]},
            {"sampling.stop_ids": [268]},
            {"sampling.stop_strings": ["The answer"]},
            {"sampling.stop_strings": [". "]},
            {"sampling.stop_ids": [327]},
        ],
        [
            {"sampling.stop_strings": ["is"]},
            {"sampling.stop_ids": [366]},
            {"sampling.stop_strings": ["answer"]},
            {"sampling.stop_ids": [17, 327]},
            {"sampling.stop_strings": ["boxed"]},
        ],
        lambda values: {"settings": values},
    ),
    "never stops": Fault(
        ("stop",),
        [64, 96, 128, 80, 112],
        [72, 88, 104, 120, 100],
        lambda n: {"endless": True, "settings": {"sampling.max_new_tokens": n}},
    ),
    "wrong gold": Fault(
        ("wrong-gold",),
        ["near_miss", "guessable", "unguessable", "7", "1/2"],
        ["100", "-3", "0", "17", "x"],
        lambda label: {"gold": label},
        problems="agreed",
        model="expert",
    ),
    "unscorable": Fault(
        ("unscorable",), [1.0, 0.9, 0.7, 0.5, 0.8], [0.6, 0.95, 0.75, 0.55, 0.85], lambda s: {"reward": unscorable(s)}
    ),
    "learning rate low": Fault(
        ("learning-rate-low",),
        [1e-9, 1e-8, 0.0, 1e-7, 3e-8],
        [3e-9, 1e-10, 5e-8, 2e-7, 1e-12],
        key("optimizer.learning_rate"),
    ),
    "learning rate high": Fault(
        ("learning-rate-high",),
        [1e-2, 3e-2, 1e-1, 5e-3, 2e-2],
        [1.5e-2, 5e-2, 8e-3, 7e-3, 4e-2],
        key("optimizer.learning_rate"),
    ),
    "entropy collapse": Fault(
        ("entropy-collapse",),
        [-10.0, -30.0, -100.0, -20.0, -50.0],
        [-15.0, -40.0, -70.0, -25.0, -200.0],
        lambda weight: {"settings": {"algorithm.entropy_coefficient": weight, "optimizer.learning_rate": 3e-4}},
    ),
    "entropy explosion": Fault(
        ("entropy-explosion",),
        [1.0, 2.0, 5.0, 10.0, 3.0],
        [1.5, 4.0, 2.5, 7.0, 20.0],
        key("algorithm.entropy_coefficient"),
    ),
    "KL": Fault(("kl-dominates",), [10, 30, 100, 20, 50], [15, 70, 40, 200, 25], key("algorithm.kl_coefficient")),
    "constant reward": Fault(
        ("constant-reward",),
        [0.0, 1.0, 0.5, -1.0, 2.0],
        [0.1, 0.9, 3.0, -0.5, 10.0],
        lambda c: {"reward": lambda p, rs: [c] * len(rs)},
    ),
    "reward of the prompt": Fault(
        ("prompt-reward",),
        ["length", "digits", "parity", "words", "level"],
        ["number", "answer", "vowels", "what", "first"],
        lambda kind: {"reward": of_the_prompt(kind)},
        problems="pool",
        recipes=("grpo-full",),
    ),
    "sampler apart": Fault(
        ("sampler-apart",),
        ["apart(factor=1.5)", "apart(factor=0.5)", "apart(noise=0.05)", "apart(factor=2.0)", "apart(noise=0.1)"],
        ["apart(factor=1.3)", "apart(factor=0.7)", "apart(noise=0.07)", "apart(factor=1.7)", "apart(noise=0.15)"],
        key("sampling.sampler"),
    ),
    "memorised": Fault(
        ("memorised",),
        [12, 13, 14, 15, 16],
        [17, 18, 19, 20, 21],
        lambda tokens: {"guessed": True, "reward": short_and_right(tokens), "settings": {"run.steps": 60}},
        problems="guessed",
    ),
    "format reward": Fault(
        ("format-hacking",),
        ["format", "format + 0.1*accuracy", "0.5*format", "2*format + 0.2*accuracy", "format + 0.05*accuracy"],
        ["3*format", "format + 0.15*accuracy", "0.2*format", "format + 0.2*accuracy", "0.7*format + 0.1*accuracy"],
        key("algorithm.reward"),
        problems="learnable",
    ),
}
