"""Evaluation: how good a model is on suites of problems it was not trained on."""

from oneshot_rlvr.evaluation.checkpoints import Checkpoint, best_by_validation, checkpoints_of
from oneshot_rlvr.evaluation.evaluate import Evaluator, Protocol, make_validator
from oneshot_rlvr.evaluation.statistics import average_interval, mean_interval

__all__ = [
    "Checkpoint",
    "Evaluator",
    "Protocol",
    "average_interval",
    "best_by_validation",
    "checkpoints_of",
    "make_validator",
    "mean_interval",
]
