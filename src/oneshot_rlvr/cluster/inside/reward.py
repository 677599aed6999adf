"""The reward of a run on verl: our grader and our reward, response by response, each grade written down.

verl's dumps hold neither problem nor group; what is written here is what `collect.py` makes rollouts of.
"""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from oneshot_rlvr.cluster.folder import Folder
from oneshot_rlvr.cluster.inside import run
from oneshot_rlvr.grading import Grade, Grader, Response
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.training.prepare import make_grader

_WRITING = threading.Lock()  # verl grades in threads


@lru_cache(maxsize=1)
def grader_of(folder: Folder) -> Grader:
    """The export's grader."""
    return make_grader(folder.config)


def graded(grader: Grader, problem: Problem, response: Response, place: int = 0) -> Grade:
    """A response's grade and reward. Rewards that draw numbers draw those of the `place`-th response of a group."""
    return grader.grade(problem, [response] * (place + 1))[place]


def scorer(path: Path) -> Callable[..., dict[str, Any]]:
    """verl's `compute_score` for the export in a folder."""
    folder = Folder(path)

    def compute_score(
        data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None, **_: Any
    ) -> dict[str, Any]:
        """The reward as `score`, and the verdict. Without our agent loop the text is as verl decodes it."""
        info = dict(extra_info or {})
        said = info.get("oneshot") or {}
        split = str(info.get("split", "train"))
        known = run.asked(split) if "index" in info and run.folder() == folder else ()
        problem = known[int(info["index"])].problem if known else Problem("row", "", str(ground_truth), data_source)
        text = said.get("text", solution_str)
        response = Response(text, said.get("finish", "stop"), said.get("tokens", len(text.split())))
        grade = graded(grader_of(folder), problem, response, said.get("copy", 0))
        if said:
            _write(folder, split, problem, response, grade, said)
        reward = 0.0 if grade.reward is None else grade.reward  # a scorer that was late: verl has no reward of nothing
        return {"score": reward, "acc": float(grade.outcome == "correct"), "outcome": grade.outcome}

    return compute_score


def _write(
    folder: Folder, split: str, problem: Problem, response: Response, grade: Grade, said: Mapping[str, Any]
) -> None:
    row = {
        "problem_id": problem.id,
        "place": said["place"],
        "copy": said["copy"],
        "text": response.text,
        "finish": response.finish,
        "tokens": response.tokens,
        "outcome": grade.outcome,
        "extracted": grade.extracted,
        "layer": grade.layer,
        "reward": grade.reward,
        "logprob": said["logprob"],
        "hint": said["hint"],
        "attempt": said["attempt"],
    }
    path = folder.graded_path(run.launch(), split, said["step"], f"{platform.node()}-{os.getpid()}")
    with _WRITING:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
