"""The command as a user runs it: exit codes, one-line errors, nothing half-written; real files; custom code."""

from __future__ import annotations

import fcntl
import json
import resource
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from command import oneshot, refused
from oneshot_rlvr.commands import organism_card
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.sealing import read_record

FAST = ["--model", "tiny", "--set", "run.save_every=1"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_my_own_problem_resume_eval_and_report(tmp_path):
    out = tmp_path / "run"
    mine = ["--question", "What is 3 + 4 + 5?", "--answer", "12"]
    assert oneshot("train", "grpo", *FAST, *mine, "--out", out, "--steps", 2)[0] == 0
    assert oneshot("train", "--resume", out, "--steps", 3)[0] == 0
    assert [line["step"] for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())] == [1, 2, 3]
    code, text, _ = oneshot("eval", out, "--suite", "organism:numbers", "--limit", 4, "--samples", 2)
    assert code == 0
    assert "base" in text
    scores = read_record(out / "eval" / "scores.json")
    assert list(scores) == ["base", "step_000001", "step_000002", "step_000003"]
    assert oneshot("report", out)[0] == 0
    assert "3 + 4 + 5" in (out / "report.html").read_text()
    assert oneshot("select", out, "--out", out / "ranking.json")[0] == 0
    assert json.loads((out / "ranking.json").read_text())[0]["id"] == "mine"


def test_eval_and_what_follows_from_it_without_a_model(tmp_path):
    out = tmp_path / "run"
    assert oneshot("train", *FAST, "--set", "data.only=[pool-001]", "--out", out, "--steps", 2)[0] == 0
    asked = ["--suite", "organism:numbers", "--limit", 16, "--samples", 2, "--words", "answer, wait"]
    code, text, err = oneshot("eval", out, *asked, "--log", "tensorboard", "--workers", 1)
    assert code == 0, err
    for said in ("avg@2", "pass@2", "maj@2", "numbers", "beyond what boxing alone"):
        assert said in text
    score = json.loads((out / "eval" / "scores.json").read_text())["base"]["organism:numbers"]
    assert {"reflection:answer", "reflection:wait"} <= set(score)
    assert list((out / "eval" / "tensorboard").iterdir())
    assert json.loads((out / "eval" / "lm_eval" / "base.json").read_text())["results"]["organism:numbers"]
    for folder in (out / "checkpoints").iterdir():  # no weights are needed from here on
        (folder / "model.safetensors").rename(tmp_path / f"{folder.name}.safetensors")
    assert "regraded: released" in oneshot("eval", "regrade", out, "--mode", "released")[1]
    code, text, _ = oneshot("eval", "compare", f"{out}:base", out, "--out", tmp_path / "pair.json")
    assert code == 0
    assert "permutation" in text
    assert json.loads((tmp_path / "pair.json").read_text())["suites"]["average"]["n"] == 16
    for folder in (out / "checkpoints").iterdir():
        (tmp_path / f"{folder.name}.safetensors").rename(folder / "model.safetensors")
    assert "Not uploaded" in oneshot("push", out)[1]
    [published] = (out / "published").iterdir()
    assert "avg@2" in (published / "README.md").read_text()


def test_mistakes_of_evaluation_are_one_line(tmp_path):
    assert "Did you mean 'paper'" in refused("eval", "tiny", "--protocol", "papers")
    assert "unknown grading mode" in refused("eval", "tiny", "--suite", "organism:numbers", "--mode", "x", "--limit", 1)
    assert "unknown tracker" in refused("eval", "tiny", "--log", "tensorbored")
    assert "no word in the list" in refused("eval", "tiny", "--words", ",")
    assert "no evaluation in this folder" in refused("eval", "regrade", tmp_path)
    assert "no evaluation in this folder" in refused("eval", "compare", tmp_path, f"{tmp_path}:base")
    assert "neither a run" in refused("push", tmp_path)


def test_a_csv_and_a_reward_by_import_path(tmp_path):
    (tmp_path / "p.csv").write_text("question,answer\nWhat is 3 + 4 + 5?,12\nWhat is 3 + 9 + 5?,17\n")
    (tmp_path / "short_rewards.py").write_text(
        "def short(problem, responses):\n    return [-r.tokens / 10 for r in responses]\n"
    )
    code, text, _ = oneshot(
        "train", *FAST, "--problems", "p.csv", "--reward", "short_rewards:short", "--out", "run", "--steps", 1
    )
    assert code == 0
    assert "2 problems" in text
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text())["reward/mean"] < 0


def test_the_version_and_help_without_arguments():
    assert oneshot("--version")[1].strip() == version("oneshot-rlvr")
    code, text, err = oneshot()
    assert "demo" in text + err
    assert code in (0, 2)
    assert "regrade" in oneshot("eval", "--help")[1]


def test_problems_lists_sets_and_problems():
    assert "organism:numbers" in oneshot("problems")[1]
    assert "256 problems" in oneshot("problems", "organism")[1]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--problems", "gone.jsonl"], "no such problem file"),
        (["--problems", "broken.jsonl"], "broken.jsonl, row 1"),
        (["--problems", "double.jsonl"], "double.jsonl, row 2"),
        (["--problems", "empty.csv"], "empty.csv, row 1"),
        (["--set", "optimizer.learning_rat=1"], "Did you mean 'optimizer.learning_rate'"),
        (["--set", "data.only=[pool-999]"], "pool-999"),
        (["--set", "sampling.max_prompt_tokens=3"], "max_prompt_tokens=3"),
        (["--set", "sampling.max_new_tokens=506"], "exceed the model's 512"),
        (["--set", "model.template=boxd"], "Did you mean 'boxed'"),
        (["--question", "What?"], "go together"),
        (["--reward", "nothing"], "unknown reward"),
        (["--set", "run.loggers=[wandb]"], "wandb"),
        (["--set", "model.device=cuda"], "CUDA"),
        (["--set", "model.device=gpu"], "unknown device"),
        (["--set", "optimizer.betas=[0.9, 1.0]"], "optimizer.betas"),
        (["--reward", "broken_rewards:f"], "SyntaxError"),
        (["--question", ""], "go together"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, args, says):
    if "CUDA" in says and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    if says == "wandb" and shutil.which("wandb"):
        pytest.skip("wandb is installed here")
    (tmp_path / "broken.jsonl").write_text("{")
    (tmp_path / "double.jsonl").write_text('{"id": 1, "question": "a", "answer": 1}\n' * 2)
    (tmp_path / "empty.csv").write_text("question,answer\nWhat?,\n")
    (tmp_path / "broken_rewards.py").write_text("def f(:")
    before = sorted(tmp_path.rglob("*"))
    assert says in refused("train", "grpo", *FAST, *args, "--out", tmp_path / "run", "--steps", 1)
    assert sorted(tmp_path.rglob("*")) == before


def test_unknown_recipe_model_run_and_preset(tmp_path):
    assert "Did you mean 'grpo'" in refused("train", "gpro")
    assert "Did you mean 'organism'" in refused("train", "--model", "organsm")
    assert "no run in this folder" in refused("train", "--resume", tmp_path)
    assert "unknown model" in refused("eval", "nothing")
    assert "no problem set or file" in refused("eval", "tiny", "--suite", "nothing")
    assert "unknown preset" in refused("pretrain", "--preset", "huge")


def copied_model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder("tiny"), tmp_path / "model"))


def test_model_folders_that_cannot_be_used(tmp_path):
    folder = copied_model(tmp_path)
    train = ["train", "grpo", "--model", folder, "--set", "model.template=plain", "--out", tmp_path / "run"]
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:1000])
    assert "cannot load the model" in refused(*train)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    assert "cannot load the model" in refused(*train)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "has no tokenizer" in refused(*train)
    for content in ("null", "5", "[" * 100_000, "{"):
        (folder / "config.json").write_text(content)
        assert "cannot read config.json" in refused(*train)
    (folder / "config.json").unlink()
    assert "no config.json" in refused(*train)
    assert not (tmp_path / "run").exists()


def test_a_run_folder_in_use_or_already_used(tmp_path):
    out = tmp_path / "run"
    assert oneshot("train", *FAST, "--out", out, "--steps", 1)[0] == 0
    assert "holds a run already" in refused("train", *FAST, "--out", out, "--steps", 1)
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another process is using this run folder" in refused("train", "--resume", out, "--steps", 2)


@pytest.mark.parametrize(
    "damage", ["model.safetensors", "trainer/optimizer.safetensors", "manifest.json", "tokenizer.json"]
)
def test_a_corrupt_checkpoint_is_named_and_the_one_before_it_serves(tmp_path, damage):
    out = tmp_path / "run"
    assert oneshot("train", *FAST, "--out", out, "--steps", 2)[0] == 0
    path = out / "checkpoints" / "step_000002" / damage
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    said = refused("train", "--resume", out, "--steps", 3)
    assert "step_000002" in said
    assert "Delete this checkpoint" in said
    good = json.loads((out / "metrics.jsonl").read_text().splitlines()[1])
    shutil.rmtree(path.parents[1] if "trainer" in damage else path.parent)
    assert oneshot("train", "--resume", out, "--steps", 3)[0] == 0
    again = json.loads((out / "metrics.jsonl").read_text().splitlines()[1])
    assert again["policy/loss"] == good["policy/loss"]


@pytest.mark.parametrize("limit", [2_000, 20_000, 400_000])
def test_a_full_disk_is_said_and_the_run_goes_on_later(tmp_path, limit):
    """A real failing write: no file of this process may grow beyond `limit` bytes (metrics, tokenizer, weights)."""
    out = tmp_path / "run"
    assert oneshot("train", *FAST, "--out", out, "--steps", 1)[0] == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        said = refused("train", "--resume", out, "--steps", 9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot write it" in said
    assert not list(out.rglob("*.tmp"))
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step_000001"]
    assert oneshot("train", "--resume", out, "--steps", 3)[0] == 0
    assert [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3]


def test_a_resumed_run_keeps_its_configuration_and_records_more_steps(tmp_path):
    out = tmp_path / "run"
    assert oneshot("train", *FAST, "--out", out, "--steps", 1)[0] == 0
    assert "keeps its configuration" in refused("train", "--resume", out, "--seed", 3)
    assert oneshot("train", "--resume", out, "--steps", 2)[0] == 0
    record = json.loads((out / "config.json").read_text())
    assert record["values"]["run"]["steps"] == 2
    assert record["sources"]["run.steps"] == "--resume"
    assert "as it was configured" in refused("eval", out, "--set", "model.template=boxed")
    for step in (1, 2):
        shutil.rmtree(out / "checkpoints" / f"step_{step:06d}" / "trainer")
    assert "none of its checkpoints" in refused("train", "--resume", out, "--steps", 3)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2


def test_weights_that_are_missing_are_not_made_up(tmp_path):
    folder = copied_model(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    said = refused("train", "--model", folder, "--set", "model.template=plain", "--out", tmp_path / "run")
    assert "model.layers.1.mlp.up_proj.weight" in said


def test_a_missing_chat_template_is_said(tmp_path):
    folder = copied_model(tmp_path)
    (folder / "chat_template.jinja").unlink()
    assert "no chat template" in refused("train", "--model", folder, "--set", "model.template=chat", "--out", tmp_path)


def test_a_length_that_leaves_no_room_is_said(tmp_path):
    folder = copied_model(tmp_path)
    plain = ["--suite", "organism:numbers", "--limit", 2, "--set", "model.template=plain", "--out", tmp_path / "eval"]
    assert "--max-new-tokens 4" in refused("eval", folder, *plain, "--max-new-tokens", 3072)
    assert oneshot("eval", folder, *plain, "--max-new-tokens", 40, "--samples", 1)[0] == 0


def test_the_demo_writes_its_summary_resumes_and_refuses_another_seed(tmp_path, monkeypatch):
    monkeypatch.setattr("oneshot_rlvr.commands.demo_stages.SUITE_PROBLEMS", 4)
    quick = ["--model", "tiny", "--set", "run.steps=4", "--set", "run.save_every=1", "--out", tmp_path / "demo"]
    code, text, err = oneshot("demo", *quick)
    assert code == 0, err
    assert "report.html" in text
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert set(summary["seconds"]) == {"base", "selection", "one_shot", "evaluation", "report"}
    assert len(summary["base"]["suites"]) == 6
    assert summary["base"]["average"] == pytest.approx(sum(summary["base"]["suites"].values()) / 6)
    assert summary["one_shot"]["best_step"] in (1, 2, 3, 4)
    assert {"average", "suites", "best_step"} <= set(summary["full"])
    selection = json.loads((tmp_path / "demo" / "selection.json").read_text())
    assert summary["selected"] == selection["selected"] == selection["ranking"][0]["id"]
    assert "<h1>One example" in (tmp_path / "demo" / "report.html").read_text()
    shutil.rmtree(tmp_path / "demo" / "one_shot" / "checkpoints" / "step_000004")
    assert oneshot("demo", *quick)[0] == 0
    again = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert {**again, "seconds": 0} == {**summary, "seconds": 0}
    assert "another seed" in refused("demo", *quick, "--seed", 1)


def test_pretraining_gives_a_model_with_a_card(tmp_path, monkeypatch):
    few = organism_card.card_sets()
    monkeypatch.setattr(
        organism_card, "card_sets", lambda: {name: few[name][:16] for name in ("numbers", "hints given")}
    )
    assert oneshot("pretrain", "--preset", "tiny", "--steps", 3, "--out", tmp_path / "new")[0] == 0
    assert "oneshot pretrain --preset tiny --seed 0 --steps 3" in (tmp_path / "new" / "README.md").read_text()
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "new").config.model_type == "qwen2"


@pytest.mark.parametrize("options", [[], ["--json"]])  # a table of rich's, and plain lines
def test_a_reader_that_has_seen_enough_is_no_mistake(options):
    process = subprocess.Popen(
        [sys.executable, "-m", "oneshot_rlvr", "recipes", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
