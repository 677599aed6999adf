"""A verdict is a problem: "is this solution right?", asked of a language model, answered by one digit."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from oneshot_rlvr.problems import Problem
from oneshot_rlvr.selectors.paths import PathGroup

# A model that only continues text is given the opened box too, or its first token would be the first of a solution.
CONTINUED = "Question: {question}\nAnswer:{solution}\nQuestion: {ask}\nAnswer: \\boxed{"
ASKED = "{question}\n\nA solution that was proposed:\n{solution}\n\n{ask} Reply with the digit alone."
ASKS = {
    "signed": "Is the answer right? 1 or 0.",
    "brier": "How sure is it that the answer is right? 0 to 9.",
}
CONTINUES = ("plain", "bare")  # templates of models that only continue text


def verdict_question(template: str, scale: str, question: str, solution: str) -> str:
    """What a verifier is asked about a solution."""
    text = CONTINUED if template in CONTINUES else ASKED
    values = {"{ask}": ASKS[scale], "{question}": question, "{solution}": solution}
    # In one pass: a question or a solution may hold any text, a key too.
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], text)


def verdict_template(template: str) -> str:
    """The template that a verifier is asked with."""
    return "bare" if template in CONTINUES else template


def verdicts(
    groups: Sequence[PathGroup],
    template: str,
    scale: str,
    seed: int = 0,
    fits: Callable[[str], bool] = lambda question: True,
) -> list[Problem]:
    """Verdicts to learn from: of each group as many wrong paths as right ones, each text once, in random order.

    Equal numbers, so that saying always the same is worth nothing. What does not fit the verifier is left out.
    """
    draw, found = np.random.default_rng([seed, 3]), []
    for group in groups:
        asked = group.problem.question
        texts = {
            path.text: path.right
            for path in group.paths
            if path.text.strip() and fits(verdict_question(template, scale, asked, path.text))
        }
        sides = [[text for text, right in texts.items() if right is side] for side in (True, False)]
        count = min(map(len, sides))
        for side, texts_of in zip((1, 0), sides, strict=True):
            for place in sorted(draw.choice(len(texts_of), count, replace=False).tolist() if count else []):
                question = verdict_question(template, scale, asked, texts_of[place])
                name = f"{group.problem.id}/{side}/{place}"
                found.append(replace(group.problem, id=name, question=question, answer=str(side), solution=None))
    return [found[place] for place in draw.permutation(len(found)).tolist()]
