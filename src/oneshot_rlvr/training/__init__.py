"""Training: the loop, and what it is made of. It knows nothing of evaluation; validation comes in as a function."""

from oneshot_rlvr.training.collectors import COLLECTORS
from oneshot_rlvr.training.groups import Group
from oneshot_rlvr.training.loop import train
from oneshot_rlvr.training.prepare import Trainer, prepare
from oneshot_rlvr.training.source import Source

__all__ = ["COLLECTORS", "Group", "Source", "Trainer", "prepare", "train"]
