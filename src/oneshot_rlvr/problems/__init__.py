"""Problems: what they are, where they come from, and how a prompt is made of one. No torch here."""

from oneshot_rlvr.problems.catalogue import find_problems, named_sets
from oneshot_rlvr.problems.loaders import load_problems
from oneshot_rlvr.problems.problem import Problem, to_jsonl
from oneshot_rlvr.problems.templates import TEMPLATES, Template, encode_prompt, get_template

__all__ = [
    "TEMPLATES",
    "Problem",
    "Template",
    "encode_prompt",
    "find_problems",
    "get_template",
    "load_problems",
    "named_sets",
    "to_jsonl",
]
