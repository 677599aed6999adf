"""Evaluation: how good a model is on suites of problems it was not trained on."""

from oneshot_rlvr.evaluation.checkpoints import Checkpoint, checkpoints_of
from oneshot_rlvr.evaluation.evaluate import Evaluator, make_validator
from oneshot_rlvr.evaluation.protocols import PROTOCOLS, Protocol, Sampling, get_protocol
from oneshot_rlvr.evaluation.statistics import average_interval, mean_interval

__all__ = [
    "PROTOCOLS",
    "Checkpoint",
    "Evaluator",
    "Protocol",
    "Sampling",
    "average_interval",
    "checkpoints_of",
    "get_protocol",
    "make_validator",
    "mean_interval",
]
