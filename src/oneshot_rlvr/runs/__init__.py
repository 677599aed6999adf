"""Run folders: the one place that knows their files. Typed readers for everything that comes after training."""

from oneshot_rlvr.runs.evaluation import EvaluationFolder
from oneshot_rlvr.runs.naming import BASE, step_name, step_of
from oneshot_rlvr.runs.run import STOPPED, Run
from oneshot_rlvr.runs.scores import ModelScores, Part, Score, Scores

__all__ = [
    "BASE",
    "STOPPED",
    "EvaluationFolder",
    "ModelScores",
    "Part",
    "Run",
    "Score",
    "Scores",
    "step_name",
    "step_of",
]
