"""Export, run and collect on verl itself, on a CPU: `make test-cluster`. Minutes a run; skipped where verl is not."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from command import oneshot
from oneshot_rlvr.runs import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
PYTHON = os.environ.get("VERL_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(PYTHON), reason="VERL_PYTHON names no Python with verl: use `make test-cluster`"
    ),
]


@pytest.mark.parametrize("recipe", ["grpo", "ppo"])
def test_a_run_on_verl_is_the_local_loops(recipe, tmp_path):
    """Killed and gone on with; regraded exactly; the same rollouts, losses and gradients as here, and every command
    takes it."""
    import on_verl

    work = Path(os.environ.get("VERL_WORK", tmp_path))  # where `make test-cluster` makes its table from
    found = on_verl.study(recipe, work, PYTHON)
    assert found["steps"] == on_verl.STEPS and len(found["launches"]) == 2
    assert found["reward_last_5"] > found["reward_first_5"] + 0.15
    equal, total = found["rewards_equal_our_regrade_of_verls_dumps"]
    assert equal == total == on_verl.STEPS * 128
    assert found["logged_reward_off_by_at_most"] < 1e-7
    assert found["steps_with_the_local_loops_rollouts"] == (on_verl.STEPS, on_verl.STEPS)
    assert found["steps_with_the_local_loops_rewards"] == on_verl.STEPS
    assert found["loss_off_by_at_most"] < 1e-4
    assert found["grad_norm_off_by_a_share_of_at_most"] < 1e-4
    assert found["validation"][0] == found["validation"][1] != []
    run = Run(work / f"verl-{recipe}" / "run")
    assert run.state == "finished" and run.steps() == [10, 20, 30]
    assert oneshot("eval", run.path, "--limit", 8, "--samples", 1, "--quiet")[0] == 0
    assert oneshot("report", run.path)[0] == 0
    assert "<html" in (run.path / "report.html").read_text()
    assert oneshot("doctor", run.path)[0] == 0
