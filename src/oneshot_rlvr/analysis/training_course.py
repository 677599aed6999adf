"""What goes wrong as a run goes on: nothing moves, it falls, it explodes, or it is rewarded for the wrong thing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy.stats import linregress

from oneshot_rlvr.analysis.case import (
    RELATIVE,
    WINDOW,
    Case,
    advantage_of,
    average,
    broke,
    pays_others,
    share,
    width_of,
    windows,
)
from oneshot_rlvr.analysis.rule import Sign, rule
from oneshot_rlvr.grading.features import boxes

LONG = 4 * WINDOW  # steps before it is said that nothing moves
USUAL_ENTROPY, USUAL_KL = 0.05, 0.5  # weights beyond these are ten times what anybody trains with
HELD_KL = 0.05  # from here on it is the likeliest cause where nothing moves
FLAT = 0.9  # of the groups without variance
NOWHERE, FAR = 1e-5, 1e-3  # KL a token from the base: of a policy that has not moved, and of one that surely has
FALL = 3.0  # points of validation
UNMOVED = 2.0  # standard errors of a slope
AWAY = 2.0  # KL a token from the base: of another language
GARBAGE = 1.0  # nats of entropy a token gained: no policy that answers has that much more


@rule(
    "kl-dominates",
    "The KL term holds the policy where it began: lower algorithm.kl_coefficient (0.001 is usual).",
)
def kl_dominates(case: Case) -> Sign | None:
    """A large weight of the KL, and the answers get no better; or not a small one, and nothing moves."""
    coefficient = case.config.algorithm.kl_coefficient
    first, last = (average(lines, "outcome/correct") for lines in (case.first, case.last))
    held = coefficient >= USUAL_KL or (coefficient >= HELD_KL and _learnable(case) and _still(case))
    if not held or len(case.metrics) < 2 * WINDOW or last > min(first + 0.2, 0.8):
        return None
    evidence = {"kl_coefficient": coefficient, "policy/kl": average(case.last, "policy/kl")}
    return Sign(case.ended, evidence | {"correct at first": first, "correct at last": last}, case.rows(case.last))


@rule(
    "entropy-explosion",
    "The entropy bonus makes responses random: lower algorithm.entropy_coefficient (0.001 is usual).",
)
def entropy_explosion(case: Case) -> Sign | None:
    """A large weight of the entropy, and entropy rises."""
    coefficient = case.config.algorithm.entropy_coefficient
    first, last = (average(lines, "policy/entropy") for lines in (case.first[:2], case.last))
    if coefficient < USUAL_ENTROPY or last < 1.2 * first or len(case.metrics) < 2 * WINDOW:
        return None
    evidence = {"entropy_coefficient": coefficient, "policy/entropy at first": first, "policy/entropy at last": last}
    return Sign(case.ended, evidence, case.rows(case.last))


@rule(
    "entropy-collapse",
    "Responses have become one before they were right: raise algorithm.entropy_coefficient (0.001 is usual, below 0 "
    "is a penalty) or sampling.temperature, or lower optimizer.learning_rate.",
)
def entropy_collapse(case: Case) -> Sign | None:
    """Entropy falls away, pushed down or while answers are wrong."""
    coefficient = case.config.algorithm.entropy_coefficient
    first, last = (average(lines, "policy/entropy") for lines in (case.first[:2], case.last))
    right, flat = average(case.last, "outcome/correct"), average(case.last, "group/zero_variance_fraction")
    meant = case.config.algorithm.surrogate == "none" or "entropy" in (case.config.run.stop_when or "")
    pushed = coefficient <= -USUAL_ENTROPY and last < first / 2 and not meant
    wanted = not meant and not pays_others(case)
    stuck = last < first / 5 and right < 0.3 and flat > 0.8 and wanted and _answers(case)
    if len(case.metrics) < 2 * WINDOW or not (pushed or stuck):
        return None
    evidence = {"policy/entropy at first": first, "policy/entropy at last": last, "outcome/correct": right}
    evidence |= {"group/zero_variance_fraction": flat, "entropy_coefficient": coefficient}
    return Sign(case.ended, evidence, case.rows(case.last))


def _answers(case: Case) -> bool:
    """Whether responses still have the shape of answers."""
    return average(case.last, "response/boxed_fraction") > 0.5 * average(case.first, "response/boxed_fraction")


@rule(
    "format-hacking",
    "The reward rises and answers do not get right: weigh accuracy more in algorithm.reward, or take format out of it.",
)
def format_hacking(case: Case) -> Sign | None:
    """Wrong answers earn what right ones do."""
    rows = [row for row in case.rows(case.last) if row["reward"] is not None]
    right = [row["reward"] for row in rows if row["outcome"] == "correct"]
    wrong = [row["reward"] for row in rows if row["outcome"] == "wrong"]
    best = max((row["reward"] for row in case.rows(case.ends) if row["reward"] is not None), default=0.0)
    correct = average(case.last, "outcome/correct")
    if len(case.metrics) < 2 * WINDOW or correct > 0.8 or best <= 0 or not wrong or pays_others(case):
        return None
    if (
        statistics.fmean(wrong) < 0.5 * best
        or len(wrong) < 8
        or (right and statistics.fmean(wrong) < 0.75 * max(right))
    ):
        return None
    evidence = {"reward of wrong answers": statistics.fmean(wrong), "reward of right ones": _mean(right)}
    boxed = share(rows, lambda row: boxes(row["text"]))
    evidence |= {"outcome/correct": correct, "boxed": boxed, "algorithm.reward": case.config.algorithm.reward[:120]}
    return Sign(case.ended, evidence, [row for row in rows if row["outcome"] == "wrong"])


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


@rule(
    "learning-rate-high",
    "The update destroys what the model could: lower optimizer.learning_rate tenfold and start again from the base.",
)
def learning_rate_high(case: Case) -> Sign | None:
    """Right answers are gone, or boxes are, or the text is none any more, or nothing that the base would say.

    Of a reward that is meant to pay wrong answers, only the last two. Or a loss or gradient is not finite.
    """
    if case.diverged is not None:
        evidence = {"not finite": case.diverged["why"], "learning_rate": case.config.optimizer.learning_rate}
        return Sign(int(case.diverged["step"]), evidence, case.rows(case.last))
    lost = None if pays_others(case) else broke(case)
    entropy = windows(case, "policy/entropy")
    risen = max(entropy) - average(case.start or case.first, "policy/entropy")
    boxed = [average(lines, "response/boxed_fraction") for lines in (case.start, case.last)]
    gone = boxed[0] > 0.3 and boxed[1] < boxed[0] / 5 and average(case.last, "outcome/correct") < 0.1
    away = average(case.last, "policy/kl") > AWAY
    if len(case.metrics) < WINDOW or not (lost or risen > GARBAGE or (gone and not pays_others(case)) or away):
        return None
    evidence = (lost or {}) | {"boxed at first": boxed[0], "boxed at last": boxed[1]}
    evidence |= {"policy/entropy at most": max(entropy), "policy/kl": average(case.last, "policy/kl")}
    evidence |= {"learning_rate": case.config.optimizer.learning_rate}
    return Sign(_turned(case), evidence, case.rows(case.last))


def _turned(case: Case) -> int:
    """The first step after the best five."""
    right = windows(case, "outcome/correct")
    behind = (len(right) - 1 - right.index(max(right))) * width_of(case)
    return max(1, case.ended - behind)


@rule(
    "learning-rate-low",
    "Nothing moves: raise optimizer.learning_rate tenfold (1e-6 suits 1.5 B parameters, 1e-5 adapters and 0.5 B, 1e-4 "
    "the organism), or see that a warmup ends.",
)
def learning_rate_low(case: Case) -> Sign | None:
    """Groups differ, so there is something to learn, and after many steps the policy is where it was: by its KL from
    the base where that is measured, else by what has a trend."""
    if not _learnable(case) or learning_rate_high(case) is not None:
        return None
    kl = abs(average(case.last, "policy/kl")) if case.config.algorithm.kl_coefficient else None
    if not (kl is not None and kl < NOWHERE) and not (_still(case) and (kl is None or kl < FAR)):
        return None
    flat = average(case.metrics, "group/zero_variance_fraction")
    evidence: dict[str, object] = {"learning_rate": case.config.optimizer.learning_rate, "steps": len(case.metrics)}
    evidence |= {"group/zero_variance_fraction": flat} | ({} if kl is None else {"policy/kl": kl})
    evidence |= {"trends in standard errors": {name: round(value, 2) for name, value in _trends(case).items()}}
    return Sign(case.ended, evidence, case.rows(case.last))


def _learnable(case: Case) -> bool:
    """Whether groups differ and there was time to learn from them."""
    waits = case.config.optimizer.warmup_steps + case.config.critic.warmup_steps
    return (
        case.config.algorithm.surrogate != "none"
        and len(case.metrics) >= LONG + waits
        and average(case.metrics, "group/zero_variance_fraction") <= 0.5
        and average(case.last, "outcome/correct") <= 0.9
    )


def _still(case: Case) -> bool:
    """Whether nothing has a trend over many steps."""
    return len(case.metrics) >= LONG + 2 * WINDOW and max(map(abs, _trends(case).values())) < UNMOVED


def _trends(case: Case) -> dict[str, float]:
    """The slopes of what training moves, in standard errors."""
    names = ("outcome/correct", "policy/entropy", "response/length_mean", "response/boxed_fraction")
    return {name: _trend([line[name] for line in case.metrics if name in line]) for name in names}


def _trend(values: Sequence[float]) -> float:
    """The slope over steps, in its standard errors; 0 where nothing changes."""
    if len(values) < 3 or len(set(values)) == 1:
        return 0.0
    line = linregress(range(len(values)), values)
    return float(line.slope / max(line.stderr, 1e-12))


@rule(
    "memorised",
    "The answer is learnt by heart and not how to work it out: take another problem or a sound gold, or stop at "
    "the checkpoint that validation chose.",
    severity="warning",
)
def memorised(case: Case) -> Sign | None:
    """Training answers get right while validation falls; without validation, right ones have become short and alike."""
    scores = [value for line in case.metrics for name, value in line.items() if name.startswith("validation/")]
    first, last = (average(lines, "outcome/correct") for lines in (case.first, case.last))
    lengths = [average(lines, "response/length_mean") for lines in (case.start, case.last)]
    learnt = last > min(first + 0.1, 0.9) and len(case.metrics) >= 2 * WINDOW
    fell = len(scores) > 1 and scores[-1] < min(0.8 * max(scores), max(scores) - FALL)
    brief = not scores and last > 0.7 and lengths[1] < 0.6 * lengths[0]
    if not learnt or not (fell or brief):
        return None
    evidence: dict[str, object] = {"correct at first": first, "correct at last": last}
    evidence |= {"length at first": lengths[0], "length at last": lengths[1]}
    evidence |= {"distinct": average(case.last, "response/distinct_fraction")}
    return Sign(case.ended, evidence | ({"validation": scores} if scores else {}), case.rows(case.last))


@rule(
    "no-variance",
    "Groups agree, some all right and the others all wrong, so hardly anything is learnt: take problems that the model "
    "sometimes solves (`oneshot select`), or more rollouts (batch.group_size).",
)
def no_variance(case: Case) -> Sign | None:
    """From the first step to the last hardly a group differs, and it is not because all is solved."""
    flat = [average(lines, "group/zero_variance_fraction") for lines in (case.metrics[:LONG], case.last)]
    right = average(case.last, "outcome/correct")
    compared = advantage_of(case) in RELATIVE
    if len(case.metrics) < LONG or min(flat) < FLAT or right > 0.95 or not compared:
        return None
    evidence = {"group/zero_variance_fraction at first": flat[0], "at last": flat[1], "outcome/correct": right}
    return Sign(case.ended, evidence, case.rows(case.last))
