"""Reward functions: `reward(problem, responses) -> list[float | None]` for one group of responses to one problem.

A group rather than one response, so that rewards which compare responses (majority, length) need no other signature;
options are keywords with defaults. Those that do compare have the trait `group`. `None` means unscorable: the response
leaves the group's baseline and gets no gradient. `get_reward` reads them from a configuration, alone or as a weighted
sum.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from hashlib import blake2b
from typing import Annotated, Literal

from pydantic import Field

from oneshot_rlvr.config import Registry
from oneshot_rlvr.errors import OneshotError, nearest
from oneshot_rlvr.grading.compare import decide
from oneshot_rlvr.grading.features import common_length
from oneshot_rlvr.grading.normalise import canonical
from oneshot_rlvr.grading.numbers import Number, read_number
from oneshot_rlvr.grading.types import Response
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.problems.answers import last_boxed

Rewards = list[float | None]
Reward = Callable[[Problem, Sequence[Response]], Rewards]
REWARDS = Registry("reward", "algorithm.reward")


@REWARDS.register("accuracy")
def accuracy(problem: Problem, responses: Sequence[Response]) -> Rewards:
    """1 for a correct answer, else 0 (the paper's outcome reward); None where the gold is unscorable."""
    return [None if r.outcome == "unscorable" else float(r.outcome == "correct") for r in responses]


@REWARDS.register("score")
def score(problem: Problem, responses: Sequence[Response]) -> Rewards:
    """What the problem's own scorer gives, 0 to 1 (reasoning-gym's, lm-eval's); `accuracy` where it has none.

    None where the scorer was late. `accuracy` counts a score of 1 alone.
    """
    plain = accuracy(problem, responses)
    return [p if r.score is None and r.outcome != "timeout" else r.score for p, r in zip(plain, responses, strict=True)]


@REWARDS.register("format")
def format_box(problem: Problem, responses: Sequence[Response]) -> Rewards:
    """1 for a balanced box that is not empty, whatever it holds (the paper's format control), else 0."""
    return [float(last_boxed(r.text) is not None) for r in responses]


@REWARDS.register("format_think")
def format_think(problem: Problem, responses: Sequence[Response]) -> Rewards:
    """1 for `<think>...</think>` once, at the start, and text after it; the opening tag may stand in the prompt."""
    shape = re.compile(r"\s*(?:<think>)?((?!</?think>).)*</think>((?!</?think>).)*\S((?!</?think>).)*", re.S)
    return [float(r.text.count("</think>") == 1 and shape.fullmatch(r.text) is not None) for r in responses]


@REWARDS.register("tag_count")
def tag_count(problem: Problem, responses: Sequence[Response]) -> Rewards:
    """A quarter for each of `<think>`, `</think>`, `<answer>`, `</answer>` that stands there exactly once (Open-R1).

    The opening `<think>` may stand in the prompt: it then counts with its closing tag.
    """
    rewards: Rewards = []
    for text in (r.text for r in responses):
        once = [text.count(tag) == 1 for tag in ("<think>", "</think>", "<answer>", "</answer>")]
        once[0] = once[0] or (once[1] and "<think>" not in text)
        rewards.append(sum(once) / 4)
    return rewards


@REWARDS.register("random")
def random(problem: Problem, responses: Sequence[Response], *, p: float = 0.5, seed: int = 0) -> Rewards:
    """1 with probability `p`, whatever it says (Spurious Rewards, arXiv 2506.10947).

    Drawn by the rollout's own number, so that a resumed run repeats it and no text is favoured. Where there is none
    (regrading, verl) by place and text: there equal texts at one place earn the same in every group.
    """
    rewards: Rewards = []
    for place, response in enumerate(responses):
        own = f"{place}\x1f{response.text}" if response.key is None else str(response.key)
        key = f"{seed}\x1f{problem.id}\x1f{own}".encode("utf-8", "surrogatepass")
        rewards.append(float(int.from_bytes(blake2b(key, digest_size=8).digest(), "little") < p * 2**64))
    return rewards


GUESSES = {"guessable": ("4", "5"), "unguessable": ("929725", "929726")}


@REWARDS.register("wrong_label")
def wrong_label(
    problem: Problem,
    responses: Sequence[Response],
    *,
    kind: Literal["near_miss", "guessable", "unguessable"] = "near_miss",
    label: str | None = None,
) -> Rewards:
    """1 for the answer `label`, which is wrong (label robustness; arXiv 2504.20571, section 4).

    Without a label: `near_miss` is the gold less one unit of its last digit (12.7 for 12.8), `guessable` is 4 and
    `unguessable` 929725, as in the paper; 5 and 929726 where those are right. None for a gold without a digit, which
    nothing misses nearly.

    Raises:
        OneshotError: the label that was given is the gold, or there is no such kind.
    """
    if label is None and (label := _wrong(problem, kind)) is None:
        return [None for _ in responses]
    _refuse_right(problem, label)
    return [float(r.extracted is not None and _surely_equal(r.extracted, label)) for r in responses]


def wrong_answer(problem: Problem, label: str) -> str:
    """A wrong gold for a problem: of a kind of `wrong_label`'s, or a text that is none of them.

    Raises:
        OneshotError: it is right, or the gold has no digit that a near miss could change.
    """
    found = _wrong(problem, label) if label in ("near_miss", *GUESSES) else label
    if found is None:
        raise OneshotError(
            f"nothing misses the gold {problem.answer!r} nearly", where=f"problem {problem.id}", fix="Give a label."
        )
    _refuse_right(problem, found)
    return found


def _refuse_right(problem: Problem, label: str) -> None:
    if (verdict := decide(label, problem.answer)) is not None and verdict.equal:
        raise OneshotError(f"the wrong label {label!r} is right", where=f"problem {problem.id}", fix="Give another.")


def _wrong(problem: Problem, kind: str) -> str | None:
    if kind in GUESSES:
        return next(guess for guess in GUESSES[kind] if not _surely_equal(guess, problem.answer))
    if kind != "near_miss":
        raise OneshotError(
            f"wrong labels are no {kind!r}", where="wrong_label", fix=nearest(kind, ["near_miss", *GUESSES])
        )
    number = read_number(canonical(problem.answer))
    if number is not None:
        return _text_of(Number(number.value - Fraction(1, 10 ** (number.places or 0)), number.places))
    *_, last = (None, *re.finditer(r"\d+(?!.*\d)", problem.answer, re.S))
    return last and f"{problem.answer[: last.start()]}{int(last[0]) - 1}{problem.answer[last.end() :]}"


def _text_of(number: Number) -> str:
    if not number.places:
        return str(number.value)
    return f"{float(number.value):.{number.places}f}"


@REWARDS.register("majority", group=True)
def majority(problem: Problem, responses: Sequence[Response]) -> Rewards:
    """1 for the group's most frequent answer, the first of equals; no gold is used (TTRL, arXiv 2504.16084).

    Answers are one where strings, numbers or structure say so.
    """
    members = answer_classes([r.extracted for r in responses])
    votes = Counter(member for member in members if member is not None)
    winner = min(votes, key=lambda member: (-votes[member], member)) if votes else None
    return [float(member is not None and member == winner) for member in members]


@REWARDS.register("same_answer", group=True)
def same_answer(problem: Problem, responses: Sequence[Response]) -> Rewards:
    """The share of the group that gives the same answer, 0 without one; no gold is used (EMPO, arXiv 2504.05812)."""
    members = answer_classes([r.extracted for r in responses])
    votes = Counter(member for member in members if member is not None)
    return [0.0 if member is None else votes[member] / len(responses) for member in members]


def answer_classes(answers: Sequence[str | None]) -> list[int | None]:
    """Which answers are one, numbered as they first occur; None for none."""
    classes: list[str] = []
    members: list[int | None] = []
    for answer in answers:
        if answer is None:
            members.append(None)
            continue
        known = next((k for k, other in enumerate(classes) if _surely_equal(answer, other)), None)
        if known is None:
            known = len(classes)
            classes.append(answer)
        members.append(known)
    return members


def _surely_equal(a: str, b: str) -> bool:
    verdict = decide(a, b)
    return verdict is not None and verdict.equal


_RESULT = re.compile(r"(?:=|\\approx|<<[^<>=]*=)\s*(\\frac\{-?\d+\}\{-?\d+\}|-?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?)")


@REWARDS.register("steps_credit")
def steps_credit(problem: Problem, responses: Sequence[Response], *, most: float = 0.5) -> Rewards:
    """1 for a correct answer, else up to `most`: the share of the reference solution's results that a response reaches.

    A result is a number after an equals sign. A response is given the longest run through the reference's results
    that its own follow in order, so that a list of guesses earns little. None where the problem has no solution.
    """
    if not problem.solution:
        return [None for _ in responses]
    wanted = _results(problem.solution)
    rewards: Rewards = []
    for response in responses:
        if response.outcome in ("correct", "unscorable"):
            rewards.append(1.0 if response.outcome == "correct" else None)
        else:
            rewards.append(most * common_length(wanted, _results(response.text)) / max(len(wanted), 1))
    return rewards


def _results(text: str) -> list[Fraction]:
    numbers = (read_number(canonical(found)) for found in _RESULT.findall(text[:20_000])[:200])
    return [number.value for number in numbers if number is not None]


_VERDICT = re.compile(r"\s*(?:\\boxed\s*\{)?\s*([0-9])(?![0-9.])")


@REWARDS.register("verdict")
def verdict(
    problem: Problem, responses: Sequence[Response], *, scale: Literal["signed", "brier"] = "signed"
) -> Rewards:
    """What a verifier earns, whose gold is 1 for a right solution and 0 for a wrong one, for the digit it begins with.

    `signed`: 1 for the gold, else -1 (Heimdall, arXiv 2504.10337). `brier`: 1 - (d / 9 - gold)^2 for a digit d, which
    is most in the mean where d / 9 is the probability (RLCR, arXiv 2507.16806); 0 without one.
    """
    gold, rewards = float(problem.answer == "1"), []
    for response in responses:
        found = _VERDICT.match(response.text)
        digit = int(found[1]) if found else None
        if scale == "signed":
            rewards.append(1.0 if digit == gold else -1.0)
        else:
            rewards.append(0.0 if digit is None else 1 - (digit / 9 - gold) ** 2)
    return rewards


@REWARDS.register("length_kimi", group=True)
def length_kimi(problem: Problem, responses: Sequence[Response]) -> Rewards:
    """lambda = 0.5 - (len - min) / (max - min) over the group; wrong: min(0, lambda) (Kimi k1.5, arXiv 2501.12599)."""
    lengths = [r.tokens for r in responses]
    low, high = min(lengths, default=0), max(lengths, default=0)
    scaled = [0.0 if low == high else 0.5 - (n - low) / (high - low) for n in lengths]
    return [
        None if r.outcome == "unscorable" else s if r.outcome == "correct" else min(0.0, s)
        for s, r in zip(scaled, responses, strict=True)
    ]


@REWARDS.register("cosine_length")
def cosine_length(
    problem: Problem,
    responses: Sequence[Response],
    *,
    max_tokens: Annotated[int, Field(ge=1)] = 3072,
    correct: tuple[float, float] = (0.5, 1.0),
    wrong: tuple[float, float] = (-1.0, -0.5),
) -> Rewards:
    """A short correct answer earns most, a short wrong one least, along half a cosine (arXiv 2502.03373, Open-R1).

    With t = min(len / max_tokens, 1): correct low + (high - low) (1 + cos pi t) / 2; wrong with low and high exchanged.
    """
    rewards: Rewards = []
    for r in responses:
        if r.outcome == "unscorable":
            rewards.append(None)
            continue
        low, high = correct if r.outcome == "correct" else wrong[::-1]
        fall = (1 + math.cos(math.pi * min(r.tokens / max_tokens, 1.0))) / 2
        rewards.append(low + (high - low) * fall)
    return rewards


@REWARDS.register("repetition")
def repetition(problem: Problem, responses: Sequence[Response], *, n: int = 3, most: float = 1.0) -> Rewards:
    """- most * (1 - distinct n-grams / n-grams) over lower-case words; 0 for fewer than n words (arXiv 2502.03373)."""
    rewards: Rewards = []
    for r in responses:
        words = r.text.lower().split()
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        rewards.append(-most * (1 - len(set(grams)) / len(grams)) if grams else 0.0)
    return rewards


@REWARDS.register("overlong")
def overlong(
    problem: Problem, responses: Sequence[Response], *, max_tokens: int = 3072, cache: int | None = None
) -> Rewards:
    """0 up to max_tokens - cache, then falling to -1 at max_tokens, and -1 beyond (DAPO, arXiv 2503.14476, eq. 13).

    `cache` is a fifth of `max_tokens` unless given, as there.
    """
    soft = max(max_tokens // 5 if cache is None else cache, 1)
    return [-min(max(r.tokens - (max_tokens - soft), 0) / soft, 1.0) for r in responses]
