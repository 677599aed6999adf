"""Problem selection: which problem to train on, from how its accuracy moved while the whole pool was trained."""

from oneshot_rlvr.selection.history import accuracy_history, read_history
from oneshot_rlvr.selection.ranking import SELECTORS, Ranked, rank_by_variance

__all__ = ["SELECTORS", "Ranked", "accuracy_history", "rank_by_variance", "read_history"]
