"""Problem selection: which problem to train on, from how its accuracy moved in a run on the pool, or from its text."""

from oneshot_rlvr.selection.candidates import Candidates
from oneshot_rlvr.selection.history import History, Visit, accuracy_history, read_history
from oneshot_rlvr.selection.ranking import Ranked, agreement, rank, spearman, ties
from oneshot_rlvr.selection.selectors import SELECTORS

__all__ = [
    "SELECTORS",
    "Candidates",
    "History",
    "Ranked",
    "Visit",
    "accuracy_history",
    "agreement",
    "rank",
    "read_history",
    "spearman",
    "ties",
]
