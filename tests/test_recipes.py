"""Every shipped recipe trains, and the paper's ablations are those of its table."""

from __future__ import annotations

import math

import pytest
from safetensors.torch import load_file

from oneshot_rlvr.config import names, resolve
from runs import same, weights
from test_seams import PACKAGE, run_of

NEEDS = {  # more than the tiny profile has
    "grpo-8-updates": ["batch.groups_per_step=8", "batch.group_size=2"],
    "critique-ft": ["sampling.max_new_tokens=128"],
}


def different_recipes() -> list[str]:
    """One recipe of each configuration that there is."""
    configurations = {name: resolve(name, "tiny", NEEDS.get(name, []))[0] for name in reversed(names("recipes"))}
    return sorted(
        {config.model_dump_json(exclude={"recipe"}): name for name, config in configurations.items()}.values()
    )


def quick_or_slow(recipe: str) -> object:
    """The rows of a table of ablations differ in weights of terms; one of them is enough for every day."""
    slow = recipe.startswith("ablation-") and recipe != "ablation-01"
    return pytest.param(recipe, marks=pytest.mark.slow) if slow else recipe


@pytest.mark.parametrize("recipe", [quick_or_slow(name) for name in different_recipes()])
def test_every_recipe_trains(recipe, tmp_path):
    run = run_of(tmp_path / "run", recipe, *NEEDS.get(recipe, []))
    first, second = run.metrics()
    still = recipe == "ablation-01"  # the no-op run
    assert math.isfinite(second["policy/loss"])
    assert (max(first["policy/grad_norm"], second["policy/grad_norm"]) == 0) is still
    base = load_file(PACKAGE / "organism" / "weights" / "tiny" / "model.safetensors")
    assert same(weights(run, 2), base) is still


def test_the_paper_ablation_rows_differ_in_what_their_table_says():
    """Table 5: policy gradient, weight decay, KL, entropy coefficient, label."""
    rows = {}
    for row in range(1, 14):
        config = resolve(f"ablation-{row:02}", "tiny")[0]
        method = config.algorithm
        on = (method.surrogate != "none", config.optimizer.weight_decay > 0, method.kl_coefficient > 0)
        rows[row] = (*(int(part) for part in on), method.entropy_coefficient, method.reward)
    right = "accuracy"
    assert rows == {
        1: (0, 0, 0, 0.0, right),
        2: (1, 0, 0, 0.0, right),
        3: (1, 1, 0, 0.0, right),
        4: (1, 1, 1, 0.0, right),
        5: (1, 1, 1, 0.001, right),
        6: (1, 1, 1, 0.003, right),
        7: (1, 0, 0, 0.001, right),
        8: (0, 1, 1, 0.0, right),
        9: (0, 1, 1, 0.001, right),
        10: (0, 0, 0, 0.001, right),
        11: (1, 1, 1, 0.001, "wrong_label(kind='near_miss')"),
        12: (1, 1, 1, 0.001, "wrong_label(kind='guessable')"),
        13: (1, 1, 1, 0.001, "wrong_label(kind='unguessable')"),
    }
