"""`oneshot ablate`: suites, cells that go on where they stopped, the table; recipes as others read them."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
import yaml

from command import oneshot, refused
from oneshot_rlvr.commands import ablation
from oneshot_rlvr.commands.ablation import Asked, Cell, cells_of, run_cell, run_cells
from oneshot_rlvr.commands.ablation_table import _says, table_of
from oneshot_rlvr.config import names, resolve
from oneshot_rlvr.config.suites import IN_CONTEXT, Row, paper, rows_of, suite_names
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation.protocols import PAPER_SUITES
from oneshot_rlvr.evaluation.statistics import average_interval
from oneshot_rlvr.problems import find_problems, get_template
from oneshot_rlvr.problems.solutions import demonstration
from oneshot_rlvr.runs import Run

QUICK = ["--model", "tiny", "--limit", 2, "--samples", 2, "--steps", 1, "--suites", "organism:numbers", "--quiet"]
SHORT = ["--set", "run.validate_every=0", "--set", "data.problems=organism:pi_1"]


@pytest.mark.parametrize("guest", [True, False])
def test_every_suite_is_of_recipes_that_there_are(guest):
    known = {*names("recipes"), "base", IN_CONTEXT}
    rows = rows_of("all", guest)
    assert rows[0].name == "base"
    assert {row.recipe for row in rows} <= known
    assert len({row.name for row in rows}) == len(rows)
    models = {row.model for row in rows} - {None}
    assert models <= set(names("profiles"))
    assert {name.partition("@")[0] for name in paper()} <= known
    if guest:
        missing = {recipe for recipe in known if not recipe.startswith("wrong")} - {row.recipe for row in rows}
        assert missing == set()  # `all` is all


def test_a_suite_for_other_models_is_refused():
    assert {"table5", "shots", "rewards", "algorithms", "label-free", "openseek", "models", "all"} <= set(suite_names())
    with pytest.raises(OneshotError, match="table5"):
        rows_of("tabel5", True)
    with pytest.raises(OneshotError, match="for other models"):
        rows_of("hints", False)
    assert "unknown suite" in refused("ablate", "nothing", *QUICK)


def test_a_table_is_made_and_made_again_from_its_cells(tmp_path):
    out = tmp_path / "table"
    rows = ["ablate", "openseek", *QUICK, *SHORT, "--out", out, "--seeds", 1, "--workers", 1]
    code, said, _ = oneshot(*rows)
    assert code == 0
    table = json.loads((out / "table.json").read_text())
    assert list(table) == ["base", "openseek-v1", "openseek-v4"]
    for row in table.values():
        assert {"average", "interval", "paper", "seeds"} <= set(row)
        assert row["interval"][0] <= row["average"] <= row["interval"][1]
    assert table["base"]["paper"] is None  # other problem sets than its
    assert (out / "table.md").read_text() in said
    runs = {path.name for path in (out / "runs").iterdir()}
    assert len(runs) == 2
    for name in runs:  # what only training needs is let go
        assert not list((out / "runs" / name).glob("checkpoints/*/trainer"))
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert oneshot(*rows)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == before
    assert json.loads((out / "table.json").read_text()) == table


@pytest.mark.slow
def test_two_processes_find_what_one_does(tmp_path):
    command = ["ablate", "openseek", *QUICK, *SHORT, "--seeds", 1]
    for workers in (1, 2):
        assert oneshot(*command, "--out", tmp_path / str(workers), "--workers", workers)[0] == 0
    one, two = (json.loads((tmp_path / str(n) / "table.json").read_text()) for n in (1, 2))
    for table in (one, two):
        for row in table.values():
            row.pop("seconds", None)
    assert one == two


def asked(out, **options) -> Asked:
    settings = ("run.validate_every=0", "data.problems=organism:pi_1")
    return Asked(out, "tiny", 1, 1, settings, suites=("organism:numbers",), limit=2, samples=2, **options)


def test_equal_configurations_are_one_cell(tmp_path):
    rows = [Row(name, name) for name in ("grpo", "ablation-05", "ablation-04")]
    (grpo, fifth, fourth), _ = cells_of(rows, asked(tmp_path))
    assert grpo.path == fifth.path != fourth.path
    assert grpo.base.path == fourth.base.path
    other, _ = cells_of(rows, Asked(tmp_path, "tiny", 1, 1, limit=3))
    assert other[0].path != grpo.path


def test_an_edited_file_is_another_cell(tmp_path):
    """A result is kept for what it was found of, not for the name of the file that this stood in."""
    own = tmp_path / "own.jsonl"
    keys = []
    for answer in ("3", "4"):
        own.write_text(json.dumps({"question": "1 + 2 = ?", "answer": answer}) + "\n")
        ((cell,), _) = cells_of([Row("grpo", "grpo")], replace(asked(tmp_path), settings=(f"data.problems={own}",)))
        keys.append(cell.key)
        tested = replace(asked(tmp_path), suites=(str(own),))
        keys.append(cells_of([Row("grpo", "grpo")], tested)[0][0].key)
    assert len(set(keys)) == 4


def test_a_cell_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    """A run whose evaluation was cut off is not trained again."""
    ((cell,), _) = cells_of([Row("grpo", "grpo")], asked(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(ablation, "_rates", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_cell(cell)
    weights = cell.run.checkpoint_path(1) / "model.safetensors"
    trained = weights.stat().st_mtime_ns
    run_cell(cell)
    assert weights.stat().st_mtime_ns == trained
    first = cell.result()
    assert first["step"] == first["last_step"] == 1
    cell.path.write_text(cell.path.read_text().replace('"grpo"', '"ppo"'))
    with pytest.raises(OneshotError, match=r"damaged or edited.*Delete it and its folder"):
        cell.result()


def test_a_cell_that_fails_is_told_of_and_the_others_go_on(tmp_path, monkeypatch):
    real = ablation._trained

    def failing(cell):
        if cell.row.name == "openseek-v1":
            raise OneshotError("no luck", where="step 1")
        return real(cell)

    monkeypatch.setattr(ablation, "_trained", failing)
    code, said, err = oneshot(
        "ablate", "openseek", *QUICK, *SHORT, "--out", tmp_path / "t", "--seeds", 1, "--workers", 1
    )
    assert code == 2
    assert "Failed: openseek-v1 seed 0: step 1: no luck" in said
    assert "1 cells failed" in err
    assert list(json.loads((tmp_path / "t" / "table.json").read_text())) == ["base", "openseek-v4"]
    monkeypatch.undo()
    command = ["ablate", "openseek", *QUICK, *SHORT, "--out", tmp_path / "t", "--seeds", 1, "--workers", 1]
    assert oneshot(*command)[0] == 0
    table = (tmp_path / "t" / "table.md").read_text()
    assert "openseek-v1" in table
    assert (
        "`oneshot ablate openseek --model tiny --seeds 1 --steps 1 --suites organism:numbers --limit 2 --samples 2"
        " --set run.validate_every=0 --set data.problems=organism:pi_1`" in table
    )


def test_what_a_model_cannot_have_is_left_out_and_said(tmp_path):
    rows = [Row("base", "base"), Row("opd", "opd"), Row("grpo", "grpo")]
    cells, reasons = cells_of(rows, replace(asked(tmp_path), settings=("algorithm.teacher=null",)))
    assert [cell.row.name for cell in cells] == ["base", "grpo"]
    assert "needs a teacher" in reasons["opd"]
    with pytest.raises(OneshotError, match="nonsense"):  # nothing can be had
        cells_of(rows, replace(asked(tmp_path), settings=("algorithm.reward=nonsense",)))
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"question": "3+4+5?", "answer": "12"}\n')
    rows = [Row("grpo", "grpo"), *(Row(name, name) for name in ("sft", "ghpo", "opsd", IN_CONTEXT))]
    cells, reasons = cells_of(rows, replace(asked(tmp_path), settings=(f"data.problems={bare}",)))
    assert [cell.row.name for cell in cells] == ["grpo"]
    assert all("has none" in reason or "no solution" in reason for reason in reasons.values())


def test_others_models_are_asked_what_the_paper_asked(tmp_path):
    def cell(model, protocol="honest", recipe="grpo"):
        config, sources = resolve(recipe, model)
        return Cell(Row(recipe, recipe), 0, config, sources, Asked(tmp_path, model, 1, protocol=protocol))

    assert cell("qwen2.5-math-1.5b").suites == PAPER_SUITES
    assert all(name.startswith("organism:") for name in cell("organism").suites)
    assert _says(cell("organism")).average == 35.0
    assert _says(cell("qwen2.5-math-7b")).average == 40.2
    assert _says(cell("llama-3.2-3b-instruct", recipe="grpo-full")) is None
    assert ablation._template(cell("qwen2.5-math-1.5b", "paper")).name == "qwen25-math-cot"


def test_checkpoints_are_let_go_again_after_a_kill(tmp_path):
    ((cell,), _) = cells_of([Row("grpo", "grpo")], replace(asked(tmp_path), steps=2))
    run_cells([cell], lambda *heard: None)
    left = cell.run.checkpoint_path(2)
    shutil.copytree(left, cell.run.checkpoint_path(1))
    (left / "trainer").mkdir()
    run_cells([cell], lambda *heard: None)
    assert cell.run.steps() == [2]
    assert not (left / "trainer").exists()


def test_figures_of_one_seed_are_of_its_rates(tmp_path):
    ((cell,), _) = cells_of([Row("base", "base")], asked(tmp_path))
    run_cell(cell)
    rates = cell.result()["rates"]["organism:numbers"]
    row = table_of([cell])["base"]
    assert row["average"] == pytest.approx(100 * sum(rates) / len(rates), abs=0.01)
    assert row["interval"] == pytest.approx([100 * end for end in average_interval([rates])], abs=0.01)


def test_the_example_stands_in_the_prompt_with_its_solution(tmp_path):
    ((cell,), _) = cells_of([Row(IN_CONTEXT, IN_CONTEXT, settings={"data.problems": "organism:pi_1"})], asked(tmp_path))
    run_cell(cell)
    example, plain = find_problems("organism:pi_1")[0], get_template("plain")
    transcript = next((tmp_path / "eval").rglob("*.jsonl.zst"))
    assert transcript.exists()
    assert cell.config.data.problems == "organism:pi_1"
    shots = ((example.question, demonstration(example, plain)),)
    asked_so = replace(plain, shots=shots, between="<|endoftext|>").render("What is 1 + 1?")
    assert asked_so == (
        f"Question: {example.question}\nAnswer: {example.solution} The answer is \\boxed{{{example.answer}}}."
        "<|endoftext|>Question: What is 1 + 1?\nAnswer:"
    )


def test_recipes_are_told_as_json():
    code, said, _ = oneshot("recipes", "--json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(said)}
    assert list(rows) == names("recipes")
    assert all({"name", "algorithm", "reward", "data", "paper"} <= set(row) for row in rows.values())
    assert rows["ppo"]["algorithm"] == "gae x clipped x token_mean"
    assert rows["ghpo"]["algorithm"].startswith("hint: ")
    assert rows["ablation-08"]["paper"] == "Table 5, row 8"
    assert (rows["grpo"]["data"], rows["grpo-full"]["data"]) == ("pool:pi_1", "pool")


def test_what_a_recipe_says_always_no_profile_changes(tmp_path):
    config, sources = resolve("entropy-min", "organism")
    assert (config.run.steps, config.batch.group_size, config.sampling.temperature) == (10, 64, 0.5)
    assert config.optimizer.learning_rate == 1e-4  # the profile's, as ever
    assert sources["run.steps"] == "recipe entropy-min"
    assert resolve("entropy-min", "organism", ["run.steps=3"])[0].run.steps == 3
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({"like": "entropy-min", "run": {"steps": 7}}))
    assert resolve(str(mine), "organism")[0].run.steps == 7
    mine.write_text(yaml.safe_dump({"like": "grpo", "always": 3}))
    with pytest.raises(OneshotError, match="always"):
        resolve(str(mine), "organism")


def test_the_pool_is_the_models_own(tmp_path):
    for model, pool in (("organism", "organism"), ("qwen2.5-math-1.5b", "dsr_sub")):
        assert resolve("grpo", model)[0].data.problems == f"{pool}:pi_1"
        assert resolve("grpo-full", model)[0].data.problems == pool
    config, _ = resolve("grpo", "organism", ["data.only=[pool-001]"])
    assert config.data.problems == "organism"  # ids are of the pool
    assert resolve("critique-ft", "organism", ["data.only=[critique-003]"])[0].data.problems == "organism:critiques"
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({"like": "grpo", "data": {"problems": "pool:pi_2", "only": ["x"]}}))
    assert resolve(str(mine), "organism")[0].data.problems == "organism:pi_2"
    assert resolve("grpo", "organism", [], {"data.problems": "mine.jsonl"})[0].data.problems == "mine.jsonl"


def test_problems_are_picked_by_rank():
    pool = find_problems("organism")
    first = find_problems("organism:pi_1")
    assert len(first) == 1
    assert first[0] in pool
    sixteen = find_problems("organism:pi_1-pi_16")
    assert len({problem.id for problem in sixteen}) == 16
    assert sixteen[0] == first[0]
    assert find_problems("organism:pi_13,pi_1") == [sixteen[12], first[0]]
    assert find_problems("organism:pi_last") == find_problems("organism:pi_256")
    assert {problem.id for problem in find_problems("organism:pi_1-pi_last")} == {problem.id for problem in pool}
    for wrong, says in (
        (f"organism:pi_{'9' * 12}", "no problem set or file"),
        ("organism:pi_257", "Known are pi_1 to pi_256"),
        ("organism:pi_3-pi_2", "lower rank first"),
        ("organism:validation:pi_1", "is not known"),
    ):
        with pytest.raises(OneshotError, match=re.escape(says)):
            find_problems(wrong)


def test_a_run_named_by_rank_keeps_its_problem(tmp_path):
    assert (
        oneshot("train", "grpo-pi13", *QUICK[:2], *SHORT[:2], "--steps", 1, "--out", tmp_path / "run", "--quiet")[0]
        == 0
    )
    assert Run(tmp_path / "run").problems == find_problems("organism:pi_13")
