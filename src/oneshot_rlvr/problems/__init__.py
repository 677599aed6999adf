"""Problems: what they are, where they come from, and how a prompt is made of one. No torch here."""

from oneshot_rlvr.problems.catalogue import (
    default_suites,
    find_problems,
    register_ranking,
    register_sets,
    suites_of,
)
from oneshot_rlvr.problems.known import named_sets
from oneshot_rlvr.problems.loaders import load_problems
from oneshot_rlvr.problems.problem import Problem, to_jsonl
from oneshot_rlvr.problems.solutions import hinted, informed, register_hints
from oneshot_rlvr.problems.templates import TEMPLATES, Template, encode_prompt, get_template

__all__ = [
    "TEMPLATES",
    "Problem",
    "Template",
    "default_suites",
    "encode_prompt",
    "find_problems",
    "get_template",
    "hinted",
    "informed",
    "load_problems",
    "named_sets",
    "register_hints",
    "register_ranking",
    "register_sets",
    "suites_of",
    "to_jsonl",
]
