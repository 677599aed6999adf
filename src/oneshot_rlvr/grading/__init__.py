"""Grading: from a response's text to an outcome and a reward. No torch here."""

from oneshot_rlvr.grading.grade import OUTCOMES, Grade, Grader, Outcome, Response
from oneshot_rlvr.grading.modes import MODES
from oneshot_rlvr.grading.reward_spec import get_reward
from oneshot_rlvr.grading.rewards import REWARDS, Reward

__all__ = ["MODES", "OUTCOMES", "REWARDS", "Grade", "Grader", "Outcome", "Response", "Reward", "get_reward"]
