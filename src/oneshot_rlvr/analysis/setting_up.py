"""What is wrong with a run from its first step on: sampler, prompt, stop tokens, gold, reward, difficulty."""

from __future__ import annotations

import statistics
from collections import Counter

from oneshot_rlvr.analysis.case import WINDOW, Case, Row, average, broke, pays_others, share
from oneshot_rlvr.analysis.rule import Sign, rule
from oneshot_rlvr.grading.features import answer_counts, boxes
from oneshot_rlvr.problems import get_template

GAP, SHARE = 0.01, 0.1  # of log-probabilities a token, and of the entropy; float32 has 1e-6, bfloat16 a few thousandths
MOST, SOME, FEW = 0.9, 0.5, 0.2
LEARNT = 0.8  # of the answers right: the gold can be reached


@rule(
    "sampler-apart",
    "Sampler and trainer must have the same weights, temperature and dtype: take sampling.sampler=lockstep, or mend "
    "yours.",
)
def sampler_apart(case: Case) -> Sign | None:
    """The sampler's log-probabilities are not the trainer's."""
    gaps = [line for line in case.metrics if line.get("policy/sampler_gap", 0.0) > _allowed(line)]
    if len(gaps) < min(3, len(case.metrics)):
        return None
    worst = max(gaps, key=lambda line: line["policy/sampler_gap"])
    figures = {name: worst[name] for name in ("policy/sampler_gap", "policy/entropy") if name in worst}
    return Sign(int(gaps[0]["step"]), figures | {"steps": len(gaps)}, case.rows(gaps[:1]))


def _allowed(line: Row) -> float:
    """A tenth of the entropy: where a model is sure of itself, little is a lot."""
    return max(GAP, SHARE * line.get("policy/entropy", 1.0))


@rule(
    "unscorable",
    "Give the problem a gold that can be graded (`oneshot train` notes those in doubt), or mend the reward: it returns "
    "None.",
)
def unscorable(case: Case) -> Sign | None:
    """Responses that nothing could be said of leave their groups."""
    rows = case.rows(case.start)
    late = share(rows, _ungraded)
    refills = case.config.algorithm.collector.startswith("refill")  # it leaves out groups in which nothing differs
    judged = [row for group in case.groups(case.start) if _mixed(group) or not refills for row in group]
    none = share(judged, lambda row: row["reward"] is None)
    if max(none, late) < FEW:
        return None
    shown = [row for row in rows if row["reward"] is None or _ungraded(row)]
    golds = {problem.id: problem.answer for problem in case.problems}
    gold = golds.get(shown[0]["problem_id"], "")[:80]
    return Sign(case.began, {"without reward": none, "not graded": late, "gold": gold}, shown)


def _ungraded(row: Row) -> bool:
    """Whether the grader could not say."""
    return row["outcome"] in ("timeout", "unscorable")


def _mixed(rows: list[Row]) -> bool:
    """Whether right and wrong ones are among them."""
    return len({row["outcome"] == "correct" for row in rows}) > 1


@rule(
    "constant-reward",
    "The reward is the same for every response: look at algorithm.reward.",
)
def constant_reward(case: Case) -> Sign | None:
    """Right and wrong answers earn the same, everywhere."""
    rows = case.rows(case.ends)
    earned = {row["reward"] for row in rows if row["reward"] is not None}
    mixed = {row["outcome"] == "correct" for row in rows}
    boxed = {boxes(row["text"]) for row in rows[:2000]}
    if len(earned) != 1 or mixed == {True} or (len(mixed) < 2 and (len(boxed) < 2 or max(earned) <= 0)):
        return None  # nothing differs, or all is right, or nothing is: another rule's
    evidence = {"reward": earned.pop(), "correct": share(rows, lambda row: row["outcome"] == "correct")}
    return Sign(case.began, evidence, _one_of_each(rows))


@rule(
    "prompt-reward",
    "The reward depends on the problem and not on the response, so a group has nothing to compare: look at "
    "algorithm.reward.",
)
def prompt_reward(case: Case) -> Sign | None:
    """Rewards differ between groups, never inside one, though right and wrong answers stand in one group."""
    groups = case.groups(case.first)
    mixed = [rows for rows in groups if _mixed(rows)]
    inside = [rows for rows in mixed if len({row["reward"] for row in rows}) > 1]
    between = {row["reward"] for rows in groups for row in rows}
    if len(mixed) < 3 or inside or len(between) < 2:
        return None
    evidence = {"mixed groups": len(mixed), "of these with different rewards": 0, "rewards": len(between)}
    return Sign(case.began, evidence, _one_of_each(mixed[0]))


def _one_of_each(rows: list[Row]) -> list[Row]:
    """A right and a wrong one."""
    found = {row["outcome"] == "correct": row for row in rows}
    return list(found.values())


@rule(
    "stop",
    "Responses end at the wrong place: look at sampling.stop_strings, sampling.stop_ids and the model's eos_token_id "
    "(`oneshot model show`).",
)
def stop(case: Case) -> Sign | None:
    """Cut before the answer by a stop of the user's, or going on after it until the tokens are used up."""
    rows = case.rows(case.start)
    sampling = case.config.sampling
    endless = share(rows, lambda row: row.get("finish") == "length" and boxes(row["text"]))
    if endless >= SOME:
        shown = [row for row in rows if row.get("finish") == "length"]
        return Sign(case.began, {"answered and never stopped": endless, "tokens": sampling.max_new_tokens}, shown)
    early = [row for row in rows if row.get("finish") == "stop" and row["outcome"] == "no_answer"]
    if not early or not (sampling.stop_strings or sampling.stop_ids) or len(early) < SOME * len(rows):
        return None
    evidence = {"stopped without an answer": len(early) / len(rows), "stop_strings": list(sampling.stop_strings)}
    return Sign(case.began, evidence | {"stop_ids": list(sampling.stop_ids)}, early)


@rule("truncated", "Responses are cut off before they answer: raise sampling.max_new_tokens.")
def truncated(case: Case) -> Sign | None:
    """Most responses reach the limit without an answer, and this does not pass; what training has destroyed runs on
    to the limit too, and a reward that is not for answers may want them cut."""
    first, last = (average(lines, "outcome/truncated") for lines in (case.start, case.last))
    if first < (FEW if _passed(case) else MOST) or last < max(SOME * first, FEW):
        return None
    if pays_others(case) or broke(case) or last > first + SOME:
        return None
    rows = [row for row in case.rows(case.start) if row.get("finish") == "length"]
    evidence = {"truncated at first": first, "truncated at last": last, "tokens": case.config.sampling.max_new_tokens}
    return Sign(case.began, evidence, rows)


@rule(
    "template",
    "The model does not answer in this template: try another model.template (`chat` for a chat model; `oneshot model "
    "show` has the exact prompt).",
)
def template(case: Case) -> Sign | None:
    """No answer where the template asks for one: its `</think>` never comes, or what follows is no text."""
    rows = case.rows(case.start)
    silent = [row for row in rows if row["outcome"] in ("no_answer", "truncated")]
    if not silent or len(silent) < (SOME if _passed(case) else MOST) * len(rows) or _mended(case) or pays_others(case):
        return None
    asked = get_template(case.config.model.template)
    closed = share(rows, lambda row: "</think>" in row["text"])
    boxed = share(rows, lambda row: boxes(row["text"]))
    if not (asked.think and closed < FEW) and boxed >= FEW:
        return None
    evidence = {"template": asked.title, "without an answer": len(silent) / len(rows), "boxed": boxed}
    return Sign(case.began, evidence | ({"closed the thought": closed} if asked.think else {}), silent)


@rule(
    "no-box",
    "Answers stand where the grader does not look: change grading.mode or model.template, so that both ask for a box.",
)
def no_box(case: Case) -> Sign | None:
    """Responses have a box, and the grader finds no answer."""
    rows = case.rows(case.start)
    missed = [row for row in rows if row["outcome"] == "no_answer"]
    boxed = share(missed, lambda row: boxes(row["text"]))
    few = len(missed) < (SOME if _passed(case) else MOST) * len(rows)
    if not missed or few or boxed < SOME or _mended(case) or pays_others(case):
        return None
    evidence = {"without an answer": len(missed) / len(rows), "boxed": share(rows, lambda row: boxes(row["text"]))}
    evidence |= {"mode": case.config.grading.mode, "template": get_template(case.config.model.template).title}
    return Sign(case.began, evidence, missed)


def _passed(case: Case) -> bool:
    """Whether there was time for training to mend a lack of form; before that, only what nearly all lack is told."""
    return len(case.metrics) >= 4 * WINDOW


def _mended(case: Case) -> bool:
    """Whether training has made the model answer."""
    return average(case.last, "outcome/no_answer") + average(case.last, "outcome/truncated") < FEW


def _distinct(case: Case) -> float:
    """Different texts in a group, at first."""
    groups = case.groups(case.start)
    return statistics.fmean(len({row["text"] for row in rows}) for rows in groups) if groups else float("inf")


@rule(
    "no-variance-identical",
    "A group's responses are alike, so there is nothing to compare: raise sampling.temperature (1.0, say) or "
    "batch.group_size.",
)
def identical(case: Case) -> Sign | None:
    """A group has hardly two different responses."""
    distinct = _distinct(case)
    size, temperature = case.config.batch.group_size, case.config.sampling.temperature
    alike = 1 + 1.8 * min(1.0, (size - 1) / 7)  # a group of eight has hardly three, one of two hardly more than one
    if temperature >= FEW or distinct >= alike:
        return None
    evidence = {"different texts in a group": distinct, "temperature": temperature, "group_size": size}
    return Sign(case.began, evidence | {"answer/entropy": average(case.first, "answer/entropy")}, case.rows(case.first))


@rule(
    "wrong-gold",
    "Most responses agree on another answer than the gold: check the problem's answer.",
    severity="warning",
)
def wrong_gold(case: Case) -> Sign | None:
    """Before training has changed much, one other answer is given far more often than the gold; and no training has
    shown that the gold can be worked out."""
    if average(case.last, "outcome/correct") > LEARNT and _rose(case):
        return None
    for problem in case.problems if len(case.problems) <= 16 else ():
        rows = [row for row in case.rows(case.start) if row["problem_id"] == problem.id]
        answered = [row for row in rows if row["extracted"] is not None]
        right = share(answered, lambda row: row["outcome"] == "correct")
        counts: Counter[str | None] = answer_counts(row["extracted"] for row in answered if row["outcome"] != "correct")
        if not counts:
            continue
        answer, times = counts.most_common(1)[0]
        if len(answered) >= 8 and times >= SOME * len(answered) and right < times / len(answered) / 5:
            evidence = {
                "gold": problem.answer[:80],
                "agreed on": answer,
                "share": times / len(answered),
                "right": right,
            }
            return Sign(case.began, evidence, [r for r in answered if r["outcome"] != "correct"])
    return None


def _rose(case: Case) -> bool:
    """Whether validation is above what it was, or is not measured."""
    scores = [value for line in case.metrics for name, value in line.items() if name.startswith("validation/")]
    return len(scores) < 2 or scores[-1] > scores[0]


@rule(
    "no-variance-solved",
    "The model solves it already: take a harder problem (`oneshot select`), or raise sampling.temperature.",
)
def solved(case: Case) -> Sign | None:
    """Nearly all responses are right before anything is learnt."""
    right = average(case.start, "outcome/correct")
    flat = average(case.first, "group/zero_variance_fraction")
    if right < 0.95 or flat < SOME:
        return None
    return Sign(case.began, {"outcome/correct": right, "group/zero_variance_fraction": flat}, case.rows(case.first))


@rule(
    "no-variance-too-hard",
    "No response is ever right: take a problem that the model sometimes solves (`oneshot select`), more rollouts "
    "(batch.group_size), or hints (`ghpo`).",
)
def too_hard(case: Case) -> Sign | None:
    """No answer is right, at first and at last; and nothing else that is rewarded has led to one in some time."""
    flat = average(case.metrics, "group/zero_variance_fraction")
    right = average(case.metrics, "outcome/correct")
    lost = flat >= 0.99 or (_passed(case) and not pays_others(case))
    if not lost or right > 0.002 or len(case.metrics) < WINDOW:
        return None
    return Sign(case.began, {"group/zero_variance_fraction": flat, "outcome/correct": right}, case.rows(case.last))
