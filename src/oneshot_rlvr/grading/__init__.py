"""Grading: from a response's text to an outcome and a reward. No torch here."""

from oneshot_rlvr.grading.grade import Grader
from oneshot_rlvr.grading.modes import MODES
from oneshot_rlvr.grading.reward_spec import get_reward, of_function
from oneshot_rlvr.grading.rewards import REWARDS, Reward
from oneshot_rlvr.grading.types import OUTCOMES, Finish, Grade, Outcome, Response

__all__ = [
    "MODES",
    "OUTCOMES",
    "REWARDS",
    "Finish",
    "Grade",
    "Grader",
    "Outcome",
    "Response",
    "Reward",
    "get_reward",
    "of_function",
]
