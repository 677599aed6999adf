"""Probes of problems, and gains forecast from them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from command import oneshot, refused
from oneshot_rlvr.commands.ablation import Asked
from oneshot_rlvr.commands.few import cells_of_a_seed, summary
from oneshot_rlvr.commands.probing import Probing, cosine
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.problems import Problem, find_problems, to_jsonl
from oneshot_rlvr.selection import Candidates, rank
from oneshot_rlvr.selection.forecast import FEWEST, Forecaster, Tried, coverage_of
from oneshot_rlvr.selection.probes import FEATURES, Probe, ProbeFile, read_probes, write_probes
from oneshot_rlvr.selection.ranking import spearman
from oneshot_rlvr.selection.study import error_of_the_mean, largest_by_chance, root_mean_square, skill_of_left_out
from oneshot_rlvr.training.loop import experienced
from oneshot_rlvr.training.update import gradient

ZERO = Probe(**dict.fromkeys((*FEATURES, "shift", "norm", "cost"), 0.0))
TINY = ("batch.groups_per_step=2", "run.steps=100")


def tried(values: np.ndarray, seed: int) -> list[Tried]:
    """Problems with these features, whose questions say nothing."""
    probes = [replace(ZERO, **dict(zip(FEATURES, map(float, row), strict=True))) for row in values]
    return [Tried(probe, f"{seed} and {place}") for place, probe in enumerate(probes)]


def drawn(count: int, noise: float, seed: int) -> tuple[list[Tried], list[float]]:
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(count, len(FEATURES)))
    return tried(rows, seed), list(40 + 5 * rows[:, 0] - 3 * rows[:, 7] + noise * draw.normal(size=count))


def test_a_linear_gain_is_found():
    fitted = Forecaster.fit(*drawn(60, 0.0, 0))
    others, gains = drawn(20, 0.0, 1)
    assert [p.gain for p in fitted.predict(others)] == pytest.approx(gains, abs=0.3)


def test_intervals_hold_as_often_as_they_say():
    held = []
    for seed in range(20):
        fitted = Forecaster.fit(*drawn(50, 4.0, seed))
        others, gains = drawn(50, 4.0, 1000 + seed)
        held.append(coverage_of(fitted.predict(others), gains))
    assert 0.87 <= float(np.mean(held)) <= 0.95


def test_a_feature_that_never_varies_says_nothing():
    probes, gains = drawn(30, 1.0, 0)
    still = [replace(one, probe=replace(one.probe, tokens=3.0)) for one in probes]
    fitted = Forecaster.fit(still, gains)
    far = replace(still[0], probe=replace(still[0].probe, tokens=1e6))
    near, far = fitted.predict([still[0], far])
    assert near == far


def solved(fitted: Forecaster, keep: list[int], new: Tried) -> float:
    """What the fit on some problems says of another, by the normal equations with an intercept that has no penalty."""
    known = fitted._known[np.ix_(keep, keep)] + fitted.penalty * np.eye(len(keep))
    own = fitted._kernel([[float(getattr(new.probe, name)) for name in FEATURES]], [new.question])[0][keep]
    gains, one = np.array(fitted.gains)[keep], np.ones(len(keep))
    middle = (one @ np.linalg.solve(known, gains)) / (one @ np.linalg.solve(known, one))
    return float(middle + own @ np.linalg.solve(known, gains - middle))


def test_leaving_out_is_leaving_out():
    problems, gains = drawn(15, 3.0, 2)
    fitted = Forecaster.fit(problems, gains)
    for place in range(15):
        rest = [i for i in range(15) if i != place]
        assert fitted.left_out()[place] == pytest.approx(solved(fitted, rest, problems[place]))


def test_the_interval_by_hand():
    """Jackknife+ with P = 10 and alpha = 0.2: the 2nd smallest and 2nd largest of what the left-out fits allow."""
    problems, gains = drawn(10, 5.0, 3)
    fitted = Forecaster.fit(problems, gains)
    new = drawn(1, 0.0, 4)[0][0]
    lows, highs = [], []
    for place in range(10):
        rest = [i for i in range(10) if i != place]
        error = abs(gains[place] - solved(fitted, rest, problems[place]))
        lows.append(solved(fitted, rest, new) - error)
        highs.append(solved(fitted, rest, new) + error)
    (found,) = fitted.predict([new], 0.8)
    assert found.gain == pytest.approx(solved(fitted, list(range(10)), new))
    assert found.low == pytest.approx(sorted(lows)[1])
    assert found.high == pytest.approx(sorted(highs)[-2])


def test_questions_tell_families_apart():
    """Where a family decides, the text finds it; a problem that the fit knows is left out of its own forecast."""
    families = ("Add {0} and {1}.", "What is the remainder of {0} by {1}?", "x + y = {0}, x - y = {1}: find both.")
    draw = np.random.default_rng(0)
    problems = [Tried(ZERO, families[i % 3].format(20 + i, 3 + i % 7)) for i in range(45)]
    gains = [[50.0, 45.0, 40.0][i % 3] + draw.normal() for i in range(45)]
    fitted = Forecaster.fit(problems, gains)
    new = [Tried(ZERO, family.format(91, 8)) for family in families]
    assert [p.gain for p in fitted.predict(new)] == pytest.approx([50, 45, 40], abs=1.5)
    odd = Forecaster.fit(problems, [90.0, *gains[1:]])
    assert odd.predict([problems[0]])[0].gain < 60


def test_too_few_to_promise_anything():
    probes, gains = drawn(FEWEST - 1, 1.0, 0)
    with pytest.raises(OneshotError, match="too few"):
        Forecaster.fit(probes, gains)


def test_files_come_back(tmp_path):
    fitted = Forecaster.fit(*drawn(12, 1.0, 0))
    fitted.write(tmp_path / "f.json", {"study": "x"})
    assert Forecaster.read(tmp_path / "f.json") == fitted
    known = {"a": drawn(1, 0.0, 0)[0][0].probe, "b": ZERO}
    asked = dict.fromkeys(known, "q?")
    write_probes(tmp_path / "p.json", ProbeFile("tiny", "grpo", known, asked))
    assert read_probes(tmp_path / "p.json") == ProbeFile("tiny", "grpo", known, asked)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"probes": {}}', '{"probes": {"a": {}}}', '{"probes": {"a": 3}}', "nope"]
)
def test_what_is_no_file_of_probes(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(OneshotError):
        read_probes(tmp_path / "p.json")


@pytest.mark.parametrize(
    "change",
    [
        {"features": ["x"]},
        {"rows": [[1.0]]},
        {"gains": [1.0]},
        {"penalty": 0},
        {"rows": None},
        {"features": 5},
        {"gains": 3},
        {"penalty": 10**400},
        {"gains": [float("nan")] * 12},
    ],
)
def test_what_is_no_fit(tmp_path, change):
    path = tmp_path / "f.json"
    Forecaster.fit(*drawn(12, 1.0, 0)).write(path, {})
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(OneshotError, match="not a fitted forecast"):
        Forecaster.read(path)


def test_where_nothing_can_be_learned_leaving_out_shows_nothing():
    """A guess fitted on the others falls as the gain left out rises; beside the others' mean it does not."""
    raw, beyond = [], []
    for seed in range(12):
        probes, _ = drawn(60, 0.0, seed)
        gains = np.random.default_rng(seed + 100).normal(size=60).tolist()
        guesses = Forecaster.fit(probes, gains).left_out()
        raw.append(spearman(guesses, gains))
        beyond.append(skill_of_left_out(guesses, gains)[0])
    assert np.mean(raw) < -0.1
    assert abs(np.mean(beyond)) < 0.12


def test_the_best_of_many_is_not_taken_for_more_than_it_is():
    """Of twenty scores that say nothing, one is alone below 0.05 most of the time; of all together one time in 20."""
    draw, small = np.random.default_rng(0), 0
    for seed in range(40):
        scores, gains = draw.normal(size=(20, 30)).tolist(), draw.normal(size=30).tolist()
        largest = largest_by_chance(scores, gains, 200, seed)
        small += float(np.mean(largest >= largest[0])) <= 0.05
    assert small <= 6


def test_errors_by_hand():
    assert root_mean_square([3.0, -4.0]) == pytest.approx(12.5**0.5)
    assert error_of_the_mean([0.0, 2.0, 4.0]) == pytest.approx(((3**2 + 0 + 3**2) / 3) ** 0.5)


def test_selectors_read_probes(tmp_path):
    fitted = Forecaster.fit(*drawn(12, 0.0, 0))
    fitted.write(tmp_path / "f.json", {})
    known = {"a": replace(ZERO, gradient=0.1, moved=3.0, shift=1.0), "c": replace(ZERO, gradient=0.2, shift=4.0)}
    problems = tuple(Problem(one, f"What of {one}?", "1", "x") for one in "abc")
    candidates = Candidates(("a", "b", "c"), (0, 1, 2), problems=problems, probes=known)
    assert [row.id for row in rank(candidates, "gradient")] == ["c", "a", "b"]
    assert [row.id for row in rank(candidates, "burst")] == ["a", "c", "b"]
    assert [row.id for row in rank(candidates, "shift")] == ["c", "a", "b"]
    order = [row.id for row in rank(candidates, f"learned(fitted='{tmp_path}/f.json')")]
    asked = [Tried(probe, f"What of {key}?") for key, probe in known.items()]
    guesses = dict(zip(known, (p.gain for p in fitted.predict(asked)), strict=True))
    assert order == [*sorted(guesses, key=lambda key: -guesses[key]), "b"]
    with pytest.raises(OneshotError, match="reads probes"):
        rank(replace(candidates, probes=None), "gradient")


def test_cosine():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    assert cosine(a, b) == pytest.approx(0.5**0.5)
    assert cosine(a, 0 * b) == 0.0


def small_pool(path) -> str:
    (path / "pool.jsonl").write_text(to_jsonl(find_problems("organism")[:4]))
    return str(path / "pool.jsonl")


def test_a_probe_is_the_first_steps_of_a_run(tmp_path):
    """Its success is the first step's, its gradient what that step's update would follow; again it is the same."""
    pool = small_pool(tmp_path)
    ids = [p.id for p in find_problems(pool)[:2]]
    probing = Probing(tmp_path, pool, 4, "tiny", settings=TINY)
    first = probing.run(ids, lambda *_: None)
    trainer = probing.trainer([probing.problems[ids[0]]])
    groups = trainer.collect(1)
    right = [grade.outcome == "correct" for group in groups for grade in group.grades]
    assert first[ids[0]].success == sum(right) / len(right)
    flat = gradient(trainer.models, experienced(trainer, groups), trainer.algorithm, trainer.config, trainer.budget)
    assert first[ids[0]].norm == pytest.approx(float(flat.norm()))
    assert first[ids[0]].cost == pytest.approx((3 * 16 + 4) / (16 * 100))
    kept = list((tmp_path / "probes").iterdir())
    assert len(kept) == 2
    kept[0].unlink()
    assert Probing(tmp_path, pool, 4, "tiny", settings=TINY).run(ids, lambda *_: None) == first
    with pytest.raises(OneshotError, match="no problem 'x'"):
        probing.run(["x"], lambda *_: None)


def probed(model: str, rows: list[Tried], number: int = 0) -> ProbeFile:
    asked = {f"p{i}": f"Question {number + i}?" for i in range(len(rows))}
    return ProbeFile(model, "grpo", {f"p{i}": one.probe for i, one in enumerate(rows)}, asked)


def study(path, gains):
    path.mkdir()
    rows = [{"id": key, "gain": gain} for key, gain in gains.items()]
    (path / "selection.json").write_text(json.dumps({"model": "tiny", "recipe": "grpo", "gains": rows}))


def test_the_commands(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    rows, gains = drawn(20, 2.0, 0)
    study(tmp_path / "one", {f"p{i}": gain for i, gain in enumerate(gains)})
    write_probes(tmp_path / "p.json", probed("tiny", rows))
    code, out, _ = oneshot("select", "fit", "one", "--probes", "p.json", "--out", "f.json")
    assert code == 0
    assert out.startswith("20 problems; left out in turn: Spearman 0.")
    assert "fitted on problems of this study" in refused(
        "select", "check", "one", "--probes", "p.json", "--fitted", "f.json"
    )
    rows, gains = drawn(20, 2.0, 1)
    study(tmp_path / "two", {f"p{i}": gain for i, gain in enumerate(gains)})
    write_probes(tmp_path / "q.json", probed("tiny", rows, 100))
    code, out, _ = oneshot("select", "check", "two", "--probes", "q.json", "--fitted", "f.json", "--out", "c.json")
    assert code == 0
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["problems"] == 20
    assert found["spearman"] > 0.6
    write_probes(tmp_path / "q.json", probed("organism", rows, 100))
    assert "organism by grpo, and a study of tiny by grpo" in refused("select", "fit", "two", "--probes", "q.json")
    assert "organism by grpo, and a study of tiny" in refused("select", "probe", "--study", "two")
    fast = [flag for setting in TINY for flag in ("--set", setting)]
    args = (
        "--pool",
        small_pool(tmp_path),
        "--model",
        "tiny",
        "--fitted",
        "f.json",
        "--held-out",
        "4",
        "--out",
        "probes",
        *fast,
        "--json",
    )
    code, out, _ = oneshot("select", "forecast", "pool-000", *args)
    assert code == 0
    assert not caplog.text
    (row,) = json.loads(out[out.index("[") :])
    assert row["id"] == "pool-000"
    assert row["interval"][0] <= row["gain"] <= row["interval"][1]
    assert row["cost_once"] == pytest.approx((2 * 16 + 4) / (16 * 100))  # four problems at two a step, four held out
    assert "no probe of 'q'" in refused_study(tmp_path, {"q": 1.0})
    rest = [arg for arg in args if arg not in ("--fitted", "f.json")]
    assert oneshot("select", "forecast", "pool-000", *rest)[0] == 0
    assert "fitted on organism, asked of tiny: read the order" in caplog.text


def refused_study(tmp_path, gains):
    study(tmp_path / "other", gains)
    return refused("select", "fit", "other", "--probes", "p.json")


def test_few_says_the_smallest_within_a_point():
    def row(average):
        return {"average": average, "interval": [0, 1], "gain": 1, "by_seed": [average], "seeds": 1}

    table = {
        "pool": row(80.0),
        "chosen-1": row(72.0),
        "chosen-2": row(79.0),
        "random-1": row(60.0),
        "random-2": row(78.9),
    }
    below = {
        name: {"points": one["average"] - 80.0, "interval": [0, 1]} for name, one in table.items() if name != "pool"
    }
    found = summary(table, [1, 2], below)
    assert found["smallest_within_a_point"] == {"chosen": 2, "random": None}
    assert found["sizes"]["random"]["2"]["average"] == 78.9
    assert found["sizes"]["chosen"]["1"]["minus_pool"]["points"] == -8.0
    assert "minus_pool" not in found["pool"]


SMALL = ("batch.groups_per_step=2", "run.validate_every=0")


def test_few_draws_anew_for_each_seed(tmp_path):
    asked = Asked(tmp_path, "tiny", 2, 1, SMALL, suites=("organism:hard",), limit=2, samples=1)
    ids = [p.id for p in find_problems("organism")]
    drawn = {}
    for seed in range(2):
        cells = {cell.row.name: cell for cell in cells_of_a_seed(seed, ids, [1, 4], "organism", "grpo", asked)}
        assert {cell.seed for cell in cells.values()} == {seed}
        assert cells["chosen-4"].config.data.only == tuple(ids[:4])
        assert cells["pool"].config.data.only == ()
        drawn[seed] = cells["random-4"].config.data.only
        assert cells["random-1"].config.data.only == drawn[seed][:1]
    assert drawn[0] != drawn[1]


def test_few_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = [flag for setting in SMALL for flag in ("--set", setting)]
    args = ("--by", "length", "--sizes", 1, "--seeds", 1, "--model", "tiny", "--steps", 1, "--out", "few", "--quiet")
    asked = ("--suites", "organism:hard", "--limit", 2, "--samples", 1, "--workers", 1)
    code, out, _ = oneshot("select", "few", "organism", *args, *asked, *settings)
    assert code == 0
    found = json.loads((tmp_path / "few" / "few.json").read_text())
    longest = max(find_problems("organism"), key=lambda p: len(p.question))
    assert found["chosen"] == [longest.id]
    assert "| the pool |" in out
    assert "How few problems" in (tmp_path / "few" / "few.html").read_text()
    assert "cannot read the sizes" in refused("select", "few", "organism", "--by", "length", "--sizes", "2,x")


def test_a_probe_is_json():
    assert all(isinstance(value, float) for value in asdict(ZERO).values())
