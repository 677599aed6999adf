"""Histories, selectors and rankings; the paper's own, from its released file; sets built by rank."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import oneshot, refused
from oneshot_rlvr.commands.choosing import candidates_of, write_chosen
from oneshot_rlvr.commands.curriculum import fewest_a_step
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import Problem, find_problems, load_problems
from oneshot_rlvr.problems.verl import write_parquet
from oneshot_rlvr.runs import Run
from oneshot_rlvr.selection import SELECTORS, Candidates, Visit, agreement, rank, read_history, spearman, ties
from oneshot_rlvr.selection.selectors import order
from oneshot_rlvr.selection.study import agreement_of_seeds, ceiling, correlated, predictions, spread

FIRST = [124, 267, 531, 931, 212, 25, 568, 131, 649, 724, 875, 925, 682, 100, 291, 50, 870]
LATER = {605: 60, 606: 906, 1201: 847, 1207: 174, 1208: 770, 1209: 789}


def candidates(**curves: list[float]) -> Candidates:
    return Candidates.of(None, {name: [Visit(value) for value in curve] for name, curve in curves.items()})


def ids(of: Candidates, by: str) -> list[str]:
    return [row.id for row in rank(of, by)]


@pytest.fixture
def released(shared_data):
    path = shared_data / "dsr_sub" / "acc_step_500.json"
    return path, Candidates.of(None, read_history(path))


def test_ranking_by_hand_is_stable():
    ranking = rank(candidates(flat=[0.5, 0.5], a=[0.0, 1.0], b=[1.0, 0.0], zero=[0.0, 0.0]))
    assert [row.id for row in ranking] == ["a", "b", "flat", "zero"]
    first = ranking[0]
    assert (first.rank, first.index, first.score, first.mean, first.n, first.variance) == (1, 1, 0.5, 0.5, 2, "1/4")
    assert ties(ranking) == [(1, 2), (3, 4)]


def test_the_papers_ranking(released):
    """All 1,209 ranks as the released code has them, pi_1 to pi_1209; exact variances; what ties."""
    path, whole = released
    ranking = rank(whole)
    curves = json.loads(path.read_text())
    theirs = np.argsort(-np.array([np.std(curve) for curve in curves.values()]), kind="stable")
    assert [row.id for row in ranking] == [list(curves)[place] for place in theirs]
    assert [row.index for row in ranking[:17]] == FIRST
    assert {place: ranking[place - 1].index for place in LATER} == LATER
    variances = {1: "1859/11236", 2: "13057/83232", 13: "1541/20736", 1209: "0"}
    assert {place: ranking[place - 1].variance for place in variances} == variances
    assert (ranking[0].n, ranking[0].score) == (53, 0.40675587051528483)
    assert (14, 15) in ties(ranking)
    assert ties(ranking)[-1] == (1106, 1209)
    still = [row for row in ranking if row.variance == "0"]
    assert (len(still), sum(row.mean == 0 for row in still), sum(row.mean == 1 for row in still)) == (104, 99, 5)
    assert [row.index for row in rank(whole, "lim")[:5]] == [416, 964, 569, 317, 369]


def test_the_command_prints_the_papers_ranking(released):
    path, _ = released
    code, out, _ = oneshot("select", "--history", path, "--top", 17, "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["index"] for row in rows] == FIRST
    assert {"rank", "index", "id", "score", "n", "mean"} <= rows[0].keys()
    code, out, _ = oneshot("select", path)
    assert "104 never varied (99 never solved, 5 always solved)" in out


def test_selectors_by_hand():
    some = candidates(never=[0, 0, 0], hard=[0, 0.25, 0.25], half=[0, 0.5, 1], easy=[0.75, 1, 1], always=[1, 1, 1])
    assert ids(some, "half")[0] == "half"
    assert ids(some, "hard") == ["hard", "half", "easy", "always", "never"]
    assert ids(some, "easy") == ["easy", "half", "hard", "never", "always"]
    assert ids(some, "pair")[:2] == ["hard", "easy"]
    assert ids(some, "window(low=0.4, high=0.6)")[0] == "half"
    assert sorted(ids(some, "varied")[:3]) == ["easy", "half", "hard"]
    assert ids(some, "random(seed=1)") == ids(some, "random(seed=1)") != ids(some, "random(seed=2)")


def test_lim_by_hand():
    """Curves (0, 1) and (1, 1): mean (1/2, 1), room 1/4, distances 1/4 each; only visits that both have count."""
    assert SELECTORS["lim"](candidates(a=[0, 1], b=[1, 1, 0])) == [0, 0]
    assert SELECTORS["lim"](candidates(a=[1], b=[1])) == [None, None]


def test_diversity_takes_the_odd_one_early():
    texts = ["Add 3 and 4.", "Add 3 and 5.", "Add 4 and 5.", "A train leaves at noon for a far town; when is it there?"]
    pool = [Problem(str(i), text, "1", "t", level=f"Level {i}") for i, text in enumerate(texts)]
    of = Candidates.of(pool, None)
    assert ids(of, "diverse")[1] == "3"
    assert ids(of, "level") == ["3", "2", "1", "0"]
    assert ids(of, "length")[0] == "3"
    with pytest.raises(OneshotError, match="reads an accuracy history"):
        rank(of, "std")


@given(st.lists(st.one_of(st.none(), st.floats(-5, 5)), max_size=12))
def test_order_is_stable_and_nothing_comes_last(scores):
    places = order(scores)
    keys = [(scores[i] is None, -(scores[i] or 0.0), i) for i in places]
    assert keys == sorted(keys)
    assert sorted(places) == list(range(len(scores)))


@given(st.lists(st.integers(0, 8), min_size=1, max_size=30))
def test_variances_are_exact(eighths):
    [row] = rank(candidates(a=[value / 8 for value in eighths]), "variance")
    mean = Fraction(sum(eighths), 8 * len(eighths))
    assert Fraction(row.variance or "") == sum((Fraction(v, 8) - mean) ** 2 for v in eighths) / len(eighths)


def test_spearman_by_hand_with_ties():
    assert spearman([1, 2, 3], [30, 20, 10]) == pytest.approx(-1)
    assert spearman([1, 2, 2, 4], [1, 2, 3, 4]) == pytest.approx(math.sqrt(0.9))  # ranks 1, 2.5, 2.5, 4
    assert spearman([1, 1], [1, 2]) is None
    a, b = candidates(x=[0, 1], y=[0.5, 0.5]), candidates(x=[0, 1], y=[0.5, 0.5])
    assert agreement(rank(a), rank(b, "hard"), 1) == (None, ["x"])


def test_a_visit_of_a_run_by_hand(tmp_path):
    """verl's dumps: two problems, two steps; four rollouts of the first with three answers, none of one."""
    texts = [r"3 + 4 = 7. \boxed{7}", r"3 + 4 = 8. \boxed{7}", r"\boxed{8}", "no"]
    rows = [{"input": "q", "output": text, "score": float("7}" in text), "step": 1} for text in texts]
    (tmp_path / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "10.jsonl").write_text(json.dumps({"input": "r", "output": "", "score": 0.0}) + "\n")
    (tmp_path / "2.jsonl").write_text(json.dumps(rows[0]) + "\n")
    history = read_history(tmp_path)
    assert [(visit.step, visit.right, visit.tries) for visit in history["q"]] == [(1, 2, 4), (2, 1, 1)]
    visit = history["q"][0]
    assert (visit.accuracy, visit.distinct, visit.faithful, visit.tokens) == (0.5, 3, 0.25, None)
    assert visit.entropy == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    assert (history["r"][0].step, history["r"][0].entropy) == (10, 0)
    assert ids(Candidates.of(None, history), "disagreement") == ["q", "r"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": "b"}', "no list of accuracies"),
        ('{"a": []}', "no list of accuracies"),
        ("[]", "not an accuracy history"),
        ('{"a": [0.5, 1.5]}', "value 2 is 1.5"),
        ('{"a": [true]}', "value 1 is True"),
        ('{"a": [0.5, null]}', "value 2 is None"),
        ('{"a": [NaN]}', ""),
        ('{"a": [0.5', ""),
    ],
)
def test_a_history_that_is_none(tmp_path, text, said):
    (tmp_path / "h.json").write_text(text)
    err = refused("select", "--history", tmp_path / "h.json")
    assert said in err
    assert "h.json" in err


def test_a_pool_and_a_history_that_do_not_fit(tmp_path):
    history = tmp_path / "h.json"
    history.write_text('{"0": [0, 1], "7": [0, 0]}')
    pool = tmp_path / "p.jsonl"
    pool.write_text('{"question": "a", "answer": "1"}\n{"question": "b", "answer": "2"}\n')
    assert "the pool has no problem '7'" in refused("select", pool, "--history", history)
    assert "does not say entropy" in refused("select", "--history", history, "--by", "disagreement")
    assert "reads the problems" in refused("select", "--history", history, "--by", "level")
    assert "Did you mean 'half'" in refused("select", "--history", history, "--by", "hlf")
    assert "nothing to be compared" in refused("select", "compare", "--history", history, "--by", "std")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    assert "not a parquet file" in refused("select", tmp_path / "cut.parquet", "--by", "length")


def test_keys_are_all_ids_or_all_places():
    pool = [Problem(str(i), f"q{i}", "1", "t") for i in (1, 2, 3)]
    by_place = Candidates.of(pool, {"0": [Visit(0)], "1": [Visit(1)]})
    assert (by_place.ids, by_place.indices) == (("1", "2"), (0, 1))
    by_id = Candidates.of(pool, {"3": [Visit(0)], "1": [Visit(1)]})
    assert (by_id.ids, by_id.indices) == (("3", "1"), (2, 0))
    for strange in ("9" * 5_000, "01", "\u0663", "-1", "4"):
        with pytest.raises(OneshotError, match="the pool has no problem"):
            Candidates.of(pool, {strange: [Visit(0)]})
        assert Candidates.of(None, {strange: [Visit(0)]}).ids == (strange,)


def test_a_named_set_is_not_a_folder_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "organism").mkdir()
    monkeypatch.chdir(tmp_path)
    assert oneshot("select", "organism", "--by", "length", "--top", 1)[0] == 0


def test_the_released_files_are_written_again_row_for_row(shared_data, tmp_path):
    folder, out = shared_data / "dsr_sub", tmp_path / "o.parquet"
    pool, history = folder / "dsr_sub.parquet", folder / "acc_step_500.json"
    picks = {"pi1_r128": [1], "pi2_r128": [2], "pi13_r128": [13], "pi1209_r128": [1209], "merge_pi1_pi13_r128": [1, 13]}
    whole = candidates_of(str(pool), history)
    ranking = rank(whole)
    for name, ranks in picks.items():
        write_chosen(out, whole, [ranking[place - 1].index for place in ranks], 128 // len(ranks))
        assert pq.read_table(out).to_pylist() == pq.read_table(folder / f"{name}.parquet").to_pylist()
    build = ["problems", "build", "k-shot", "--pool", pool, "--history", history, "--out", out]
    assert oneshot(*build, "--pick", "1,2,13,1209")[0] == 0
    theirs = pq.read_table(folder / "merge_pi1_pi2_pi13_pi1209_r128.parquet").drop_columns("source_file")
    assert pq.read_table(out).to_pylist() == theirs.to_pylist()
    whole = load_problems(folder / "dsr_sub.parquet", unlabelled=True)
    write_parquet(tmp_path / "all.parquet", whole, {problem.id: int(problem.id) for problem in whole})
    assert pq.read_table(tmp_path / "all.parquet").to_pylist() == pq.read_table(folder / "dsr_sub.parquet").to_pylist()


def test_a_set_is_built_and_trains(tmp_path):
    out = tmp_path / "o.jsonl"
    (tmp_path / "h.json").write_text(json.dumps({f"pool-{i:03}": [0, i / 10] for i in range(10)}))
    build = ["problems", "build", "k-shot", "--pool", "organism", "--history", tmp_path / "h.json", "--out", out]
    assert oneshot(*build, "--pick", "1-4")[0] == 0
    assert [problem.id for problem in load_problems(out)] == ["pool-009", "pool-008", "pool-007", "pool-006"]
    chance = ["problems", "build", "random-k", "--pool", "organism", "--pick", "8", "--out", out]
    assert oneshot(*chance)[0] == 0
    assert len(load_problems(out)) == 8
    assert oneshot(*chance[:-4], "--pick", "3", "--out", out)[0] == 0  # rows are shared out in a parquet file alone
    assert "cannot be shared" in refused(*chance[:-2], "--out", tmp_path / "o.parquet", "--repeat", "9")
    assert "cannot pick" in refused(*build, "--pick", "2,2")
    assert "cannot draw '11'" in refused(*build, "--pick", "11")
    assert "kind of file" in refused(*build[:-1], tmp_path / "o.txt")


def test_a_page_of_curves_and_a_name_that_is_markup(tmp_path):
    (tmp_path / "h.json").write_text('{"<img src=x onerror=alert(1)></script>": [0, 1], "b": [1, 1]}')
    code, _, _ = oneshot("select", tmp_path / "h.json", "--plot", tmp_path / "p.html", "--out", tmp_path / "r.json")
    page = (tmp_path / "p.html").read_text()
    assert code == 0
    assert "<img src=x" not in page
    assert [row["rank"] for row in json.loads((tmp_path / "r.json").read_text())] == [1, 2]


def test_spread_has_both_ends():
    ranking = rank(candidates(**{f"p{i}": [0, i / 10] for i in range(11)}))
    assert [row.rank for row in spread(ranking, 3)] == [1, 6, 11]
    with pytest.raises(OneshotError, match="cannot spread 12"):
        spread(ranking, 12)


def test_predictions_find_what_predicts():
    """Gains that follow the mean: `easy` sees it perfectly, `hard` the other way."""
    some = candidates(**{f"p{i}": [0, i / 20] for i in range(1, 11)})
    found = predictions(some, {i: 2.0 * i for i in range(10)})
    assert (found["easy"]["spearman"], found["hard"]["spearman"]) == (pytest.approx(1), pytest.approx(-1))
    assert found["easy"]["interval"] == pytest.approx([1, 1])
    assert "reads the problems" in found["level"]["why"]
    assert "alike" in found["varied"]["why"]
    assert abs(found["random"]["spearman"]) < 1
    assert found["easy"]["p_value"] < 0.01 < found["random"]["p_value"]
    known = [row["spearman"] for row in found.values() if row["spearman"] is not None]
    assert [row["spearman"] for row in found.values()][: len(known)] == sorted(known, reverse=True)


def test_how_far_a_forecast_can_go():
    """Two seeds that agree by one half: three of them average to a reliability of 3/4."""
    assert agreement_of_seeds([[1, 2], [2, 3], [3, 9]]) == pytest.approx(1)
    assert agreement_of_seeds([[1], [2]]) is None
    assert ceiling(0.5, 3) == pytest.approx(math.sqrt(0.75))
    assert ceiling(None, 1) is None


def test_an_interval_of_nothing_holds_zero():
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(40):
        _, interval = correlated(draw.random(30).tolist(), draw.random(30).tolist(), resamples=200)
        held += interval is not None and interval[0] <= 0 <= interval[1]
    assert held >= 33


def test_a_study_on_the_smallest_model_goes_on_where_it_stopped(tmp_path):
    """A problem's id may be any text; it names no folder."""
    strange = ["../../up", "it's / a \\ b"]
    rows = [{"id": one, "question": f"What is {n} + 4 + 5?", "answer": str(n + 9)} for n, one in enumerate(strange)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "h.json").write_text(json.dumps({one: [0, n / 2] for n, one in enumerate(strange)}))
    command = ["select", "study", tmp_path / "p.jsonl", "--history", tmp_path / "h.json", "--problems", 2, "--seeds", 1]
    quick = [
        "--model",
        "tiny",
        "--steps",
        1,
        "--limit",
        2,
        "--samples",
        2,
        "--suites",
        "organism:numbers",
        "--workers",
        1,
    ]
    asked = [*command, *quick, "--out", tmp_path / "s", "--set", "run.validate_every=0", "--quiet"]
    code, said, _ = oneshot(*asked)
    assert code == 0
    found = json.loads((tmp_path / "s" / "selection.json").read_text())
    assert (found["problems"], found["seeds"]) == (2, 1)
    assert [row["id"] for row in found["gains"]] == strange[::-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h.json", "p.jsonl", "s"]
    assert len(list((tmp_path / "s" / "runs").iterdir())) == 2
    assert found["selectors"].keys() == SELECTORS.keys()
    assert "| std |" in said
    assert "up" in (tmp_path / "s" / "gains.html").read_text()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / "cells").iterdir()}
    assert oneshot(*asked)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / "cells").iterdir()} == before
    assert "no ranking to spread over" in refused("select", "study", "organism")


def test_the_loop_ranks_trains_and_ranks_again(tmp_path):
    """Two bursts, the second from the first one's weights; then the first choice for as many tokens."""
    quick = ["--model", "tiny", "--rounds", 2, "--burst", 2, "--probe", 2, "--among", 4, "--samples", 2, "--limit", 2]
    small = [
        "--set",
        "batch.groups_per_step=1",
        "--set",
        "run.validate_every=0",
        "--set",
        "optimizer.learning_rate=1e-3",
    ]
    command = ["select", "loop", "organism", *quick, *small, "--suites", "organism:numbers", "--out", tmp_path / "l"]
    code, said, _ = oneshot(*command)
    assert code == 0
    found = json.loads((tmp_path / "l" / "loop.json").read_text())
    first, second, fixed = (Run(tmp_path / "l" / name) for name in ("round_1", "round_2", "fixed"))
    assert second.config.model.path == str(first.checkpoint_path(2))
    assert fixed.config.model.path == first.config.model.path == "tiny"
    assert [list(run.config.data.only or ()) for run in (first, second)] == [row["chosen"] for row in found["rounds"]]
    assert fixed.config.data.only == first.config.data.only
    spent = sum(row["tokens"] + row["probe_tokens"] for row in found["rounds"])
    assert found["tokens"]["loop"] == spent
    assert "loop - fixed" in said
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "l").rglob("*.safetensors")}
    assert oneshot(*command)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "l").rglob("*.safetensors")} == stamps


def test_the_loop_refuses_what_one_round_cannot_say(tmp_path):
    quick = ["--model", "tiny", "--probe", 1, "--among", 3, "--suites", "organism:numbers", "--limit", 2]
    assert "compares visits, and a round is one" in refused(
        "select", "loop", *quick, "--by", "std", "--out", tmp_path / "a"
    )
    drops = ["--recipe", "dapo", "--out", tmp_path / "b"]
    assert "tokens cannot be counted" in refused("select", "loop", "organism", *quick, *drops)


def test_rollout_dumps_and_their_pool(tmp_path):
    """verl's dumps know a problem by its prompt: it has the question in it, and maybe a shorter one's."""
    pool = [Problem("a", "What is 1 + 1?", "2", "x"), Problem("b", "Now: What is 1 + 1?", "2", "x")]
    for step in (1, 2):
        rows = [{"input": f"user\n{p.question} Box it.\nassistant\n", "output": "2", "score": 1.0} for p in pool]
        (tmp_path / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = Candidates.of(pool, read_history(tmp_path))
    assert sorted(found.ids) == ["a", "b"]
    with pytest.raises(OneshotError, match="the pool has no problem"):
        Candidates.of(pool[:1], read_history(tmp_path))


def test_hyphens_may_stand_for_underscores(shared_data, monkeypatch):
    monkeypatch.setenv("ONESHOT_DATA", str(shared_data))
    assert find_problems("dsr-sub:pi_1,pi_13") == find_problems("dsr_sub:pi_1,pi_13")


@pytest.mark.parametrize(("tokens", "fewest"), [([8], 8), ([8, 4], 4), ([9, 9, 3, 3], 3), ([2, 2, 6], 2)])
def test_the_fewest_tokens_of_a_step(tokens, fewest):
    run = SimpleNamespace(rollout_steps=lambda: range(len(tokens)), rollouts=lambda step: [{"tokens": tokens[step]}])
    assert fewest_a_step(run) == fewest
