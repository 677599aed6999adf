"""A run that has nothing to learn from says so, once, with a response and the setting."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from command import oneshot
from oneshot_rlvr.commands.watch import STEPS, Watch

EQUAL = {
    "group/sampled": 2.0,
    "group/zero_variance_fraction": 1.0,
    "reward/mean": 0.0,
    "response/truncated_fraction": 0.0,
    "outcome/no_answer": 0.0,
}


def said(*metrics: dict[str, float]) -> list[str]:
    run: Any = SimpleNamespace(rollouts=lambda step: [{"text": f"\x1b[2J{step}"}])
    watch = Watch(run)
    return [warning for step, row in enumerate(metrics, 1) if (warning := watch(step, EQUAL | row))]


def test_each_sign_is_said_once_at_the_fifth_step_in_a_row():
    for sign, words in [
        ({"response/truncated_fraction": 1.0}, "sampling.max_new_tokens"),
        ({"outcome/no_answer": 1.0}, "model.template: chat"),
        ({}, "batch.group_size"),
        ({"reward/mean": 1.0}, "may be solved"),
    ]:
        (warning,) = said(*[sign] * 3 * STEPS)
        assert words in warning
        assert warning.endswith(r"A response of step 5: '\x1b[2J5'")
        assert said(*([sign] * (STEPS - 1) + [{"group/zero_variance_fraction": 0.5}]) * 3) == []
        assert said(*[{"group/sampled": 0.0} | sign] * 3 * STEPS) == []


def test_a_command_shows_it(tmp_path):
    tiny = ["train", "--model", "tiny", "--steps", STEPS + 1, "--out", tmp_path / "run", "--quiet"]
    code, out, _ = oneshot(*tiny, "--set", "sampling.max_new_tokens=1")
    assert code == 0
    assert out.count("every response was cut off") == 1
    assert "asked with template" in out
