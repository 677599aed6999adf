"""Path selectors: measures by hand, degenerate cases, a real model's paths, what is kept, and what is learned."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import REWARDS, Grader, Response
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.selectors import SELECTORS, PathGroup, ReasoningPath, Training, fit
from oneshot_rlvr.selectors.calibration import Calibration, block_scores, blocks, calibration_of
from oneshot_rlvr.selectors.compare import compare
from oneshot_rlvr.selectors.evidence import Belief, first_doubt, steps_of
from oneshot_rlvr.selectors.grading import graded, known
from oneshot_rlvr.selectors.linear import Linear
from oneshot_rlvr.selectors.metrics import (
    auroc,
    auroc_within,
    balanced_accuracy,
    bests,
    brier,
    expected_calibration_error,
    gap_closed,
    pick,
    picks,
    reliability,
)
from oneshot_rlvr.selectors.paths import PathFolder, read_solutions
from oneshot_rlvr.selectors.saved import Saved, read_selector
from oneshot_rlvr.selectors.teaching import taught
from oneshot_rlvr.selectors.verdicts import verdict_question, verdicts
from oneshot_rlvr.selectors.votes import vote_shares, voted

COT = {"solution": "code", "given": "pred_score", "right": "score", "id": "idx"}


def path(answer: str | None, right: bool, text: str = "", **more: object) -> ReasoningPath:
    outcome = "correct" if right else ("wrong" if answer else "no_answer")
    values: dict = {"text": text or f"It is {answer}.", "tokens": 3, "outcome": outcome, "extracted": answer, **more}
    return ReasoningPath(**values)


def group(*paths: ReasoningPath, name: str = "p") -> PathGroup:
    return PathGroup(Problem(name, f"question {name}", "7", "tests"), paths)


def best(scores: list[float], one: PathGroup) -> tuple[float, bool]:
    share, tied = bests(np.array([scores]), one.right_N[None], one.classes_N[None])
    return float(share[0]), bool(tied[0])


def synthetic(count: int, seed: int, n: int = 16) -> list[PathGroup]:
    """Right paths are longer, written surely, and their states lie to one side; answers of wrong ones are scattered."""
    draw, groups = np.random.default_rng(seed), []
    for number in range(count):
        paths = []
        for place in range(n):
            right = bool(draw.random() < 0.4)
            sure = draw.normal(-0.3 if right else -0.9, 0.2, 8)
            state = draw.normal(0.8 if right else -0.8, 1.0, 6).astype(np.float32)
            paths.append(
                path(
                    "7" if right else str(draw.integers(20, 24)),
                    right,
                    text=f"{'so ' * int(draw.integers(2, 9) + 3 * right)}{place}",
                    tokens=int(draw.integers(3, 9) + 3 * right),
                    logprobs=tuple(sure.tolist()),
                    entropies=tuple((-sure).tolist()),
                    certainty=float(sure.mean()),
                    state=state,
                )
            )
        groups.append(group(*paths, name=f"p{number}"))
    return groups


def test_measures_by_hand():
    right = np.array([True, False, True, False])
    assert auroc([0.9, 0.8, 0.7, 0.1], right) == 0.75  # three of four pairs in order
    assert auroc([0.5, 0.5, 0.5, 0.5], right) == 0.5
    assert auroc([1.0, 0.0], np.array([True, True])) is None
    chances = np.array([0.9, 0.6, 0.4, 0.1])
    assert balanced_accuracy(chances, right) == 0.5
    assert brier(chances, right) == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    bins = reliability(np.array([0.95, 0.95, 0.15, 0.15]), np.array([True, False, False, False]))
    assert expected_calibration_error(bins) == pytest.approx(0.5 * 0.15 + 0.5 * 0.45)
    assert gap_closed(0.6, 0.5, 0.7) == pytest.approx(0.5)
    assert gap_closed(0.6, 0.7, 0.7) is None


def test_ties_count_with_what_they_hold_and_are_broken_by_the_seed():
    tied = group(path("7", True), path("8", False), path("9", False))
    assert best([1.0, 1.0, 0.0], tied) == (0.5, True)
    assert best([1.0, 0.0, 0.0], tied) == (1.0, False)
    assert {pick([1.0, 1.0, 0.0], seed) for seed in range(20)} == {0, 1}
    assert pick([1.0, 1.0, 0.0], 3) == pick([1.0, 1.0, 0.0], 3)


def test_degenerate_groups():
    alone = group(path("7", True))
    alike = group(*[path("7", True)] * 4, name="alike")
    nothing = group(*[path(None, False)] * 4, name="nothing")
    assert voted(nothing, [1.0] * 4) == [0.0] * 4
    assert best(voted(nothing, [1.0] * 4), nothing) == (0.0, False)
    assert best(voted(alike, [1.0] * 4), alike) == (1.0, False)
    majority = fit("majority", Training())
    assert majority.scores(alone.problem, alone.paths) == [1.0]
    assert not alike.mixed
    assert not nothing.mixed
    assert auroc_within([alike, nothing], [[1.0] * 4, [0.0] * 4]) is None
    assert calibration_of([(alike, [1.0] * 4)]).probability(1.0) == pytest.approx(5 / 6)
    rows, _ = compare(["majority", "oracle", "random"], [alike, nothing], [Training()])
    assert rows["oracle"]["best_of"] == {"1": 0.5, "2": 0.5, "4": 0.5}
    assert rows["oracle"]["gap_closed"] is None
    assert rows["majority"]["interval"][0] <= 0 <= rows["majority"]["interval"][1]
    with pytest.raises(OneshotError, match="0 of 2 problems have right and wrong paths"):
        fit("probe", Training([alike, nothing]))
    with pytest.raises(OneshotError, match="a problem has no path"):
        compare(["majority"], [group()], [Training()])


def test_all_right_and_all_wrong_problems_are_left_out_of_training_alone():
    sure = synthetic(1, 9)[0].paths
    right = [p for p in sure if p.right][:3]
    groups = [group(*right, name="all"), *synthetic(3, 0)]
    assert [g.problem.id for g in Training(groups).chosen(None)] == ["p0", "p1", "p2"]
    assert len(Training(groups, seed=1).chosen(1)) == 1
    rows, judged = compare(["probe"], groups[:1], [Training(groups[1:])])
    assert rows["probe"]["best_of"] == {"1": 1.0, "2": 1.0}
    assert len(judged["probe"][0].scores[0]) == 3


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 3))
def test_blocks_hold_every_path_once(count, size, seed):
    found = blocks(count, size, seed, "a", shuffles=2)
    assert len(found) == 2 * (count // size)
    for shuffle in (found[: count // size], found[count // size :]):
        flat = [place for block in shuffle for place in block]
        assert len(set(flat)) == len(flat) == count // size * size
    assert found == blocks(count, size, seed, "a", shuffles=2)


def test_a_group_is_scored_in_blocks_where_a_selector_looks_at_it():
    answers = group(*[path("7", True) if i % 3 == 0 else path(str(i), False) for i in range(11)])
    scores = block_scores(fit("majority", Training()), answers, 4, 0)
    assert len(scores) == 11
    assert all(0 < score <= 1 for score in scores)


def test_best_of_n_by_the_oracle_is_pass_at_n_and_by_votes_majority():
    groups = synthetic(30, 5, n=8)
    rows, _ = compare(["oracle", "majority", "random"], groups, [Training()])
    assert rows["oracle"]["best_of"]["8"] == np.mean([g.right_N.any() for g in groups])
    assert rows["oracle"]["best_of"]["1"] == pytest.approx(np.mean([g.rate for g in groups]))
    assert rows["random"]["best_of"]["1"] == pytest.approx(rows["majority"]["best_of"]["1"])
    assert rows["oracle"]["gap_closed"] in (1.0, None)


@pytest.mark.parametrize(
    "name",
    [
        "probe",
        "probe(agreement=True)",
        "hidden",
        "pairwise",
        "pairwise(view='hidden')",
        "chooser(steps=60)",
        "probe(shots=1)",
    ],
)
def test_a_fitted_selector_finds_what_tells_right_from_wrong_and_is_the_same_once_kept(name):
    train, test = synthetic(12, 1), synthetic(8, 2)
    selector = fit(name, Training(train))
    assert isinstance(selector, Linear)
    scores = [selector.scores(g.problem, g.paths) for g in test]
    within = auroc_within(test, scores)
    assert within is not None
    assert within > 0.8
    again = Linear.from_json(json.loads(json.dumps(selector.to_json())))
    assert [again.scores(g.problem, g.paths) for g in test] == scores
    assert fit(name, Training(train)).scores(test[0].problem, test[0].paths) == scores[0]


def test_labels_that_say_nothing_teach_nothing():
    """The same machinery on shuffled verdicts: a selector that is still right would be cheating."""
    draw, train = np.random.default_rng(0), []
    for one in synthetic(12, 1):
        shuffled = draw.permutation(one.right_N)
        kept = [path("7" if r else "9", bool(r), p.text, **_of(p)) for p, r in zip(one.paths, shuffled, strict=True)]
        train.append(PathGroup(one.problem, kept))
    test, selector = synthetic(40, 2), fit("hidden", Training(train))
    within = auroc_within(test, [selector.scores(g.problem, g.paths) for g in test])
    assert within is not None
    assert 0.2 < within < 0.8


def _of(one: ReasoningPath) -> dict:
    return {"tokens": one.tokens, "logprobs": one.logprobs, "certainty": one.certainty, "state": one.state}


def test_what_a_selector_reads_must_be_there():
    bare = group(path("7", True), path("8", False))
    for name, says in (("logprob", "no model has read"), ("given", "no score came with")):
        with pytest.raises(OneshotError, match=says):
            fit(name, Training()).scores(bare.problem, bare.paths)
    with pytest.raises(OneshotError, match="no hidden states of 2 of 2 paths"):
        fit("hidden", Training([bare]))
    with pytest.raises(OneshotError, match="unknown path selector 'prob'"):
        fit("prob", Training())
    with pytest.raises(OneshotError, match="a verifier is trained from a model"):
        fit("verifier", Training(synthetic(2, 0)))
    with pytest.raises(OneshotError, match="not done once a problem"):
        compare(["verifier"], synthetic(2, 0), [Training()])
    assert {"random", "majority", "vote", "probe", "hidden", "pairwise", "chooser", "verifier", "oracle"} <= set(
        SELECTORS
    )


def test_a_real_models_paths_repeat_what_their_file_says(shared_data):
    """maj@8 and rm@8 of 800 paths, counted here from the file; probes leave each problem out in turn."""
    file = shared_data / "outputs" / "math_cot_100.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    with Grader(workers=1) as grader:
        groups = graded(read_solutions(file, COT), grader)
    assert [g.right_N.tolist() for g in groups] == [row["score"] for row in rows]
    table, _ = compare(["majority", "given"], groups, [Training()])
    highest = [row["score"][int(np.argmax(row["pred_score"]))] for row in rows]
    assert table["given"]["best_of"]["8"] == pytest.approx(np.mean(highest))
    assert table["given"]["best_of"]["1"] == pytest.approx(np.mean([row["score"] for row in rows]))
    assert table["majority"]["best_of"]["8"] == pytest.approx(np.mean([_majority(row) for row in rows]))
    chosen = [*[g for g in groups if g.mixed][:8], *groups[:4]]
    few, judged = compare(["probe(agreement=True)"], chosen, [Training()])
    assert len({id(selector) for selector, _ in judged["probe(agreement=True)"][0].fitted}) == 12
    assert few["probe(agreement=True)"]["auroc"] > 0.5


def _majority(row: dict) -> float:
    """The mean verdict of the most frequent prediction, the mean over equals."""
    votes = Counter(row["pred"])
    first = [answer for answer, count in votes.items() if count == max(votes.values())]
    return float(
        np.mean([np.mean([s for p, s in zip(row["pred"], row["score"], strict=True) if p == a]) for a in first])
    )


def test_votes_by_hand_and_in_blocks():
    four = group(path("7", True), path("8", False), path("7", True), path(None, False))
    assert voted(four, [0.5, 1.0, 0.5, 9.0]) == [0.5, 0.5, 0.5, 0.0]
    assert voted(four, [0.0] * 4) == [0.0] * 4
    blocks = np.array([[0, 1], [2, 3]])
    shares = vote_shares(four.classes_N[blocks], np.array([[3.0, 1.0], [1.0, 1.0]]))
    assert shares.tolist() == [[0.75, 0.25], [1.0, 0.0]]


def test_picks_count_rescues_and_breaks():
    minority = group(path("7", True), path("8", False), path("8", False))
    found = picks([minority], 3, 0, lambda place, blocks: minority.right_N[blocks].astype(float))
    assert (found.right, found.rescued, found.broken) == ([1.0], [1.0], [0.0])
    usual = group(path("7", True), path("7", True), path("8", False))
    found = picks([usual], 3, 0, lambda place, blocks: (~usual.right_N[blocks]).astype(float))
    assert (found.right, found.rescued, found.broken) == ([0.0], [0.0], [1.0])


def test_a_verdict_is_a_problem():
    found = verdicts(
        [group(path("7", True, "a {solution}"), path("8", False, "b"), path("9", False, "c"))], "plain", "signed"
    )
    assert sorted(problem.answer for problem in found) == ["0", "1"]
    right = next(problem for problem in found if problem.answer == "1")
    assert right.question.startswith("Question: question p\nAnswer:a {solution}\nQuestion: Is")
    assert verdict_question("chat", "brier", "{solution}", "x").startswith("{solution}\n\nA solution")


@pytest.mark.parametrize(
    ("scale", "said", "gold", "reward"),
    [
        ("signed", "1", "1", 1.0),
        ("signed", " 0}", "1", -1.0),
        ("signed", "10", "1", -1.0),
        ("signed", "yes", "1", -1.0),
        ("brier", "9", "1", 1.0),
        ("brier", "0", "1", 0.0),
        ("brier", r"\boxed{3}", "0", 1 - 1 / 9),
        ("brier", "", "0", 0.0),
    ],
)
def test_what_a_verdict_earns(scale, said, gold, reward):
    problem = Problem("p/1", "", gold, "tests")
    (found,) = REWARDS["verdict"](problem, [Response(said, "length", 1)], scale=scale)
    assert found == pytest.approx(reward)


def test_where_a_path_is_first_doubted():
    text = "3 + 4 = 7. 7 * 2 = 15. So 15."
    spans = steps_of(text)
    assert [text[start:end].strip() for start, end in spans] == ["3 + 4 = 7.", "7 * 2 = 15.", "So 15."]
    along = [Belief(10, 0.9), Belief(14, 0.3), Belief(16, 0.6), Belief(21, 0.4), Belief(29, 0.2)]
    doubt = first_doubt(text, along)
    assert steps_of("") == steps_of(" \n ") == []
    assert first_doubt(" ", [Belief(1, 0.1)]) is None
    assert doubt is not None
    assert (doubt["step"], doubt["text"].strip(), doubt["probability"]) == (2, "7 * 2 = 15.", 0.4)
    assert first_doubt(text, along[:3]) is None
    assert first_doubt(text, []) is None


@pytest.mark.parametrize(("name", "most"), [("hidden", 0.06), ("hidden(shots=1)", 0.15), ("vote(by='hidden')", 0.15)])
def test_probabilities_are_calibrated_on_paths_that_the_fit_has_not_seen(name, most):
    selector, fitted = taught(name, Training(synthetic(40, 3, n=32)))
    test = synthetic(30, 8)
    chances = np.array([fitted.probability(s) for g in test for s in block_scores(selector, g, 8, 0)])
    right = np.concatenate([g.right_N for g in test])
    assert expected_calibration_error(reliability(chances, right)) < most
    assert Calibration(1e9, 0.0).probability(-1.0) == pytest.approx(0.0, abs=1e-12)


def test_a_selector_is_calibrated_on_the_problems_that_it_has_seen():
    training = Training(synthetic(6, 3), seed=1)
    (chosen,) = training.chosen(1)
    one, fitted = taught("hidden(shots=1)", training)
    other, again = taught("hidden(shots=1)", Training([chosen], seed=1))
    assert one.scores(chosen.problem, chosen.paths) == other.scores(chosen.problem, chosen.paths)
    assert fitted == again


def test_high_scores_of_wrong_paths_say_nothing():
    """A slope is never negative: calibration does not turn a selector about."""
    backwards = group(path("8", False), path("7", True), path("8", False), path("7", True))
    assert calibration_of([(backwards, [1.0, 0.0, 0.9, 0.1])]) == Calibration(0.0, 0.0)


def test_what_is_learned_from_is_not_judged():
    groups = synthetic(4, 1)
    with pytest.raises(OneshotError, match="1 problems are learned from and judged"):
        compare(["hidden"], groups[:1], [Training(groups)])


def test_answers_are_read_where_no_gold_is_known(tmp_path):
    file = tmp_path / "s.jsonl"
    file.write_text(json.dumps({"question": "q", "solution": ["So \\boxed{7}.", "So \\boxed{8}.", "nothing"]}))
    with Grader(workers=1) as grader:
        (found,) = graded(read_solutions(file), grader)
    assert [p.extracted for p in found.paths] == ["7", "8", None]
    assert {p.outcome for p in found.paths} == {"unscorable"}
    with pytest.raises(OneshotError, match="no path has a verdict"):
        known([found])


@pytest.mark.parametrize("name", ["vote(by='logprob')", "vote(by='hidden(shots=1)')", "chooser(steps=5)", "shortest"])
def test_a_kept_selector_is_the_same(name, tmp_path):
    train, (one, *_) = synthetic(6, 1), synthetic(1, 2)
    selector, fitted = taught(name, Training(train))
    Saved(name, selector, fitted, None, "", {}).write(tmp_path)
    again = read_selector(tmp_path)
    assert again.calibration == fitted
    assert again.selector.scores(one.problem, one.paths) == selector.scores(one.problem, one.paths)
    with pytest.raises(OneshotError, match="cannot be kept"):
        Saved("oracle", fit("oracle", Training()), fitted, None, "", {}).write(tmp_path)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "q"}, "'solution' is not a text"),
        ({"question": 3, "solution": "s"}, "'question' is not a text"),
        ({"question": "q", "solution": ["s", 1]}, "'solution' is not a text"),
        ({"question": "q", "solution": "s", "answer": ["7"]}, "`answer` is not a text"),
        ({"question": "q", "solution": ["s", "t"], "given": [1.0]}, "not one finite score"),
        ({"question": "q", "solution": "s", "given": "high"}, "not one finite score"),
        ({"question": "q", "solution": "half \ud800"}, "'solution' is not a text"),
        ([1], "not a JSON object"),
    ],
)
def test_malformed_solutions_are_one_line_with_file_and_row(tmp_path, row, says):
    file = tmp_path / "s.jsonl"
    file.write_text(json.dumps({"question": "a", "solution": "b"}) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(OneshotError, match=r"s\.jsonl, row 2") as error:
        read_solutions(file)
    assert says in str(error.value)


def test_paths_are_kept_whole(tmp_path):
    groups, folder = synthetic(2, 4), PathFolder(tmp_path)
    folder.begin({"shards": 2})
    folder.write_shard(0, groups[:1])
    with pytest.raises(OneshotError, match="1 of 2 shards are there"):
        folder.groups()
    folder.write_shard(1, groups[1:])
    read = folder.groups()
    assert [g.problem for g in read] == [g.problem for g in groups]
    ours, theirs = (g[1].paths[3].state for g in (read, groups))
    assert np.array_equal(ours, theirs)  # type: ignore[arg-type]
    assert [p.text for p in read[0].paths] == [p.text for p in groups[0].paths]
    with pytest.raises(OneshotError, match="its paths have shards=2, not 3"):
        folder.begin({"shards": 3})
