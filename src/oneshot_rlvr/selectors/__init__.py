"""Path selectors: which of a problem's candidate answers to believe."""

from oneshot_rlvr.selectors import chooser, pairwise, probe, reward, untrained, verifier, votes  # noqa: F401
from oneshot_rlvr.selectors.base import SELECTORS, Learner, Selector, Training, fit
from oneshot_rlvr.selectors.paths import PathFolder, PathGroup, ReasoningPath

__all__ = ["SELECTORS", "Learner", "PathFolder", "PathGroup", "ReasoningPath", "Selector", "Training", "fit"]
