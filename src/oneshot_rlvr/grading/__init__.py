"""Grading: from a response's text to an outcome and a reward. No torch here."""

from oneshot_rlvr.grading.grade import Grade, Grader, Outcome, Response
from oneshot_rlvr.grading.rewards import REWARDS, Reward, get_reward

__all__ = ["REWARDS", "Grade", "Grader", "Outcome", "Response", "Reward", "get_reward"]
