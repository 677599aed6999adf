"""Accuracy histories: problem id -> its training accuracy each time it was visited."""

from __future__ import annotations

from pathlib import Path

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import read_json
from oneshot_rlvr.runs import Run

History = dict[str, list[float]]


def accuracy_history(run: Run) -> History:
    """Each problem's share of correct rollouts at each visit of a run, in order of the first visit.

    Read from the recorded rollouts, but for hinted ones. A problem that a step visits in several groups gets one value
    for that step. What the collector `refill` left out is not recorded: such a run's history is of what is left.

    Raises:
        OneshotError: the run has no rollouts.
    """
    history: History = {}
    for step in run.rollout_steps():
        right: dict[str, list[bool]] = {}
        for row in run.rollouts(step):
            if row.get("hint"):  # it was asked something easier
                continue
            right.setdefault(row["problem_id"], []).append(row["outcome"] == "correct")
        for problem, outcomes in right.items():
            history.setdefault(problem, []).append(sum(outcomes) / len(outcomes))
    if not history:
        raise OneshotError(
            "this run has no rollouts to rank by",
            where=run.path,
            fix="Train a pool of problems first: `oneshot train grpo-full`.",
        )
    return history


def read_history(path: Path) -> History:
    """A history from a JSON file: an object of lists, as the paper's released `acc_step_500.json`.

    Raises:
        OneshotError: not such a file.
    """
    values = read_json(path)
    if not isinstance(values, dict) or not all(
        isinstance(v, list) and v and all(isinstance(x, int | float) for x in v) for v in values.values()
    ):
        raise OneshotError(
            "not an accuracy history", where=path, fix='It should be {"problem id": [accuracy, ...], ...}.'
        )
    return {key: [float(x) for x in value] for key, value in values.items()}
