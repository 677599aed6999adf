"""The lockstep sampler beside `generate(num_return_sequences=n)`, alone and interleaved.

    python benchmarks/sampler.py --json results/sampler.json
    python benchmarks/sampler.py --model FOLDER --rows 32 --json results/sampler_real.json

A Qwen2 of 4 layers, hidden 128 and 4096 tokens with random weights, prompt 100, one thread: responses that end as if by
chance (mean about 32, longest 128), and all 128 long; or a real model's own answers to one question, on all cores.
Both sample at temperature 1 from the whole vocabulary. That they sample the same distribution is tested: of first
tokens (chi-squared over 64 bins), and of lengths (Kolmogorov-Smirnov).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from scipy.stats import chi2_contingency, ks_2samp
from transformers import AutoModelForCausalLM, PreTrainedModel

from oneshot_rlvr.config import ModelSection
from oneshot_rlvr.policy import load_policy, products
from oneshot_rlvr.problems import get_template
from oneshot_rlvr.rollout import LockstepSampler, Prompt, SamplingParams
from outcome import write
from shapes import WORDS, forward_operations, matrix_rate, prompt_text, small, spread, write_model

Ids = tuple[int, ...]


def generated(model: PreTrainedModel, ids: list[int], rows: int, tokens: int, stop_ids: Collection[int]) -> list[Ids]:
    """Responses from Transformers' `generate`."""
    with torch.no_grad():
        found = model.generate(  # pyrefly: ignore[not-callable]
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            do_sample=True, temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0,
            num_return_sequences=rows, max_new_tokens=tokens, eos_token_id=list(stop_ids), pad_token_id=1,
        )  # fmt: skip
    responses = []
    for row in found[:, len(ids) :].tolist():
        end = next((i + 1 for i, token in enumerate(row) if token in stop_ids), len(row))
        responses.append(tuple(row[:end]))
    return responses


def timed(sampler: LockstepSampler, ids: Sequence[int], rows: int, tokens: int, seed: int) -> tuple[list[Ids], float]:
    """Our responses to a prompt at temperature 1, and the seconds that they took."""
    started = time.perf_counter()
    params = SamplingParams(temperature=1.0, max_new_tokens=tokens, seed=(seed,))
    found = [r.response_ids for r in sampler.sample([Prompt("p", tuple(ids), 0)], rows, params)[0]]
    return found, time.perf_counter() - started


def rate_of(sampler: LockstepSampler, ids: Sequence[int], rows: int, tokens: int, seed: int) -> float:
    """Our tokens a second."""
    responses, seconds = timed(sampler, ids, rows, tokens, seed)
    return sum(map(len, responses)) / seconds


def compare(section: ModelSection, text: str, rows: int, tokens: int, repeats: int) -> dict[str, Any]:
    """Seconds, tokens and responses of both."""
    policy = load_policy(section)
    plain = AutoModelForCausalLM.from_pretrained(section.path, dtype=policy.model.dtype)
    ids = policy.tokenizer(text)["input_ids"]
    torch.manual_seed(0)
    seconds: dict[str, list[float]] = {"lockstep": [], "generate": []}
    responses: dict[str, list[Ids]] = {"lockstep": [], "generate": []}
    sampler = LockstepSampler(policy)
    for turn in range(repeats + 1):  # the first of each warms up
        ours, took = timed(sampler, ids, rows, tokens, turn)
        middle = time.perf_counter()
        theirs = generated(plain, ids, rows, tokens, policy.stop_ids)
        if turn:
            seconds["lockstep"].append(took)
            seconds["generate"].append(time.perf_counter() - middle)
            responses["lockstep"] += ours
            responses["generate"] += theirs
    lengths = {name: [len(r) for r in found] for name, found in responses.items()}
    firsts = np.array([np.bincount([r[0] % 64 for r in found], minlength=64) for found in responses.values()])
    rate = matrix_rate(dtype=policy.model.dtype)
    floor = forward_operations(policy.model.config, len(ids), lengths["lockstep"][:rows]) / rate
    return {
        "lockstep_s": spread(seconds["lockstep"]),
        "generate_s": spread(seconds["generate"]),
        "ratio_median": statistics.median(seconds["generate"]) / statistics.median(seconds["lockstep"]),
        "tokens_per_s": {name: sum(lengths[name]) / sum(seconds[name]) for name in lengths},
        "length_mean": {name: statistics.mean(values) for name, values in lengths.items()},
        "length_longest": max(lengths["lockstep"]),
        "p_value_lengths": float(ks_2samp(*lengths.values()).pvalue) if len({*lengths["lockstep"]}) > 1 else None,
        "p_value_first_tokens": float(chi2_contingency(firsts[:, firsts.any(axis=0)]).pvalue),
        "prompt_tokens": len(ids),
        "floor_s": floor,
        "matrix_rate_gflops": rate / 1e9,
    }


def by_threads(section: ModelSection, text: str, rows: int, tokens: int, repeats: int) -> dict[str, float]:
    """Tokens a second of ours on one thread and on all, interleaved."""
    policy, everything = load_policy(section), torch.get_num_threads()
    sampler, ids = LockstepSampler(policy), policy.tokenizer(text)["input_ids"]
    rates: dict[int, list[float]] = {1: [], everything: []}
    for turn in range(repeats):
        for threads, found in rates.items():
            torch.set_num_threads(threads)
            found.append(rate_of(sampler, ids, rows, tokens, turn))
    torch.set_num_threads(everything)
    return {str(threads): statistics.median(found) for threads, found in rates.items()}


def by_library(section: ModelSection, text: str, tokens: int) -> dict[str, dict[str, float]]:
    """Tokens a second of ours with oneDNN's products (`policy/products.py`), and without, interleaved."""
    policy, pays = load_policy(section), products.pays
    sampler, ids = LockstepSampler(policy), policy.tokenizer(text)["input_ids"]
    found: dict[str, dict[str, float]] = {}
    for rows in (8, 32, 64, 192):
        rates: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(3):
            for ours in rates:
                with patch.object(products, "pays", lambda ours=ours: ours and pays()):
                    rates[ours].append(rate_of(sampler, ids, rows, tokens, turn))
        ours, usual = (statistics.median(rates[ours]) for ours in (True, False))
        found[str(rows)] = {"onednn": ours, "as_usual": usual, "ratio": ours / usual}
    return found


def made(stop: float, rows: int, tokens: int, repeats: int) -> dict[str, Any]:
    """The comparison on random weights whose responses end after each token with probability `stop`."""
    with tempfile.TemporaryDirectory() as scratch:
        write_model(Path(scratch), small(), stop)
        return compare(ModelSection(path=scratch, device="cpu", threads=1), prompt_text(100), rows, tokens, repeats)


def main() -> None:
    """Run, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--model", help="a model folder instead of random weights")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of a model folder")
    parser.add_argument("--part", choices=["products", "threads", "generate"], help="of a model folder; by default all")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    rows, repeats = options.rows, options.repeats
    if options.model:
        section = ModelSection(path=options.model, device="cpu", dtype=options.dtype)
        text = get_template("boxed").render(WORDS.question)
        parts = {
            "products": lambda: by_library(section, text, 16),
            "threads": lambda: by_threads(section, text, rows, 128, repeats),
            "generate": lambda: compare(section, text, rows, 128, repeats),
        }
        known = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
        for name, part in parts.items():
            if options.part in (None, name):  # each is written at once: together they take half an hour
                known |= {name: part(), "model": Path(options.model).name, "dtype": options.dtype, "rows": rows}
                write(known, options.json)
        return
    result = {"spread": made(0.029, rows, 128, repeats), "all_long": made(0.0, rows, 128, repeats)}
    result |= {"ratio_median": result["spread"]["ratio_median"], "rows": rows, "threads": torch.get_num_threads()}
    write(result, options.json)


if __name__ == "__main__":
    main()
