"""Anyone's solutions, judged by a trained selector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oneshot_rlvr.commands.judging import Judging
from oneshot_rlvr.selectors.evidence import beliefs, first_doubt
from oneshot_rlvr.selectors.metrics import pick
from oneshot_rlvr.selectors.reward import Judge
from oneshot_rlvr.selectors.saved import read_selector


def applied(folder: Path, source: str, columns: Mapping[str, str] | None, seed: int) -> list[dict[str, Any]]:
    """A row a solution: its calibrated probability, whether it is its problem's pick, and its first doubtful step.

    Raises:
        OneshotError: no selector there, or malformed solutions; file and row are named.
    """
    judge = Judge.of(read_selector(folder, seed))
    selector, calibration = judge.saved.selector, judge.saved.calibration
    rows = []
    for group in Judging("").paths(source, columns):
        if not group.paths:
            continue
        read = judge.read(group)
        scores = selector.scores(group.problem, read.paths)
        chosen = pick(scores, seed)
        for place, (path, score) in enumerate(zip(read.paths, scores, strict=True)):
            chance = calibration.probability(score)
            doubted = chance < 0.5
            along = beliefs(selector, calibration, judge.reader, group.problem, path) if doubted else []
            row = {
                "problem": group.problem.id,
                "solution": place,
                "probability": chance,
                "extracted": path.extracted,
                "chosen": place == chosen,
                "first_doubt": first_doubt(path.text, along),
                "text": path.text,
            }
            rows.append(row if path.outcome == "unscorable" else {**row, "right": path.right})
    return rows
