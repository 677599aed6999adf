"""What bfloat16 changes of a real model: log-probabilities, gradients, accuracy, beside float32 on the same responses.

    python benchmarks/precision.py FOLDER --json results/precision.json

Responses to one question are sampled in float32 at temperature 1 and scored by the same weights in both dtypes, as an
update does; the loss is their mean log-probability, each response weighted +1 or -1 in turn. As a scale for it, the
gradient of the same loss over other responses. With `--limit N` the first N problems of GSM8K are answered greedily in
both dtypes as well, which takes hours on a processor without bfloat16 products.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import oneshot_rlvr as oneshot
from oneshot_rlvr.config import ModelSection
from oneshot_rlvr.policy import Policy, load_policy
from oneshot_rlvr.policy.forward import Scorer
from oneshot_rlvr.policy.precision import has_half
from oneshot_rlvr.problems import get_template
from oneshot_rlvr.rollout import LockstepSampler
from outcome import write
from sampler import Ids, timed
from shapes import WORDS

DTYPES = ("float32", "bfloat16")


def scored(policy: Policy, prompt: Ids, responses: Sequence[Ids]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Every token's log-probability, one after another, and the loss's gradient of every weight."""
    for weight in policy.model.parameters():
        weight.grad, weight.grad_dtype = None, torch.float32  # summed as in training
    signs_B1 = torch.tensor([1.0, -1.0]).repeat(len(responses))[: len(responses), None]
    with Scorer(policy, [prompt], 1.0) as scorer:
        logprobs_BT, _ = scorer.score([0] * len(responses), responses)
        (-(signs_B1 * logprobs_BT).sum() / sum(map(len, responses))).backward()
        scorer.backward()
    flat = torch.cat([row[: len(ids)] for row, ids in zip(logprobs_BT.detach().float(), responses, strict=True)])
    named = policy.model.named_parameters()
    return flat, {name: p.grad.detach().float().clone() for name, p in named if p.grad is not None}


def distance(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> dict[str, float]:
    """Cosine of two gradients over all weights, and the length of their difference over the second's."""
    dot = sum(float((ours[name] * theirs[name]).sum(dtype=torch.float64)) for name in theirs)
    ours_2, theirs_2 = (
        sum(float(g.square().sum(dtype=torch.float64)) for g in side.values()) for side in (ours, theirs)
    )
    apart = max(0.0, ours_2 + theirs_2 - 2 * dot)
    return {"cosine": dot / (ours_2 * theirs_2) ** 0.5, "relative_difference": (apart / theirs_2) ** 0.5}


def compare(folder: str, rows: int, tokens: int) -> dict[str, Any]:
    """Log-probabilities and gradients of both dtypes on the same responses."""
    exact, half = (load_policy(ModelSection(path=folder, device="cpu", dtype=dtype)) for dtype in DTYPES)
    prompt = tuple(exact.tokenizer(get_template("boxed").render(WORDS.question))["input_ids"])
    responses, others = (timed(LockstepSampler(exact), prompt, rows, tokens, seed)[0] for seed in (0, 1))
    logprobs, gradient = scored(exact, prompt, responses)
    rounded, rounded_gradient = scored(half, prompt, responses)
    apart = rounded - logprobs
    return {
        "tokens": len(logprobs),
        "logprobs": {
            "mean_absolute": float(apart.abs().mean()),
            "largest": float(apart.abs().max()),
            "mean": float(apart.mean()),
            "ratio_outside_clip_0.2": float(((apart.exp() - 1).abs() > 0.2).float().mean()),
        },
        "gradient": distance(rounded_gradient, gradient),
        "gradient_of_other_responses": distance(scored(exact, prompt, others)[1], gradient),
    }


def answered(folder: str, limit: int, out: Path) -> dict[str, Any]:
    """Greedy accuracy on GSM8K in both dtypes."""
    found = {}
    for dtype in DTYPES:
        scores = oneshot.evaluate(
            folder, suites=("gsm8k",), limit=limit, samples=1, settings={"model.dtype": dtype}, out=out / dtype
        )
        suites = (scores.base or next(iter(scores.checkpoints.values()))).suites
        found[dtype] = next(iter(suites.values())).greedy
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model folder")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--limit", type=int, default=0, help="problems of GSM8K to answer in both")
    parser.add_argument("--out", type=Path, default=Path("runs/precision"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = compare(options.model, options.rows, options.tokens)
    if options.limit:
        figures["gsm8k_greedy"] = answered(options.model, options.limit, options.out)
    about = {"model": Path(options.model).name, "native_bfloat16": has_half("cpu")}
    write(figures | about, options.json)


if __name__ == "__main__":
    main()
