"""What run folders say about a run: its diagnosis."""

# The modules with rules make them known in the order in which causes are looked for.
from oneshot_rlvr.analysis import setting_up, training_course  # noqa: F401
from oneshot_rlvr.analysis.doctor import Watch, diagnose, examine
from oneshot_rlvr.analysis.rule import RULES, Finding

__all__ = ["RULES", "Finding", "Watch", "diagnose", "examine"]
