"""The house: rooms that do not know what they should not, and documents that say what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from command import oneshot, refused
from oneshot_rlvr.algorithms import KL_ESTIMATORS
from oneshot_rlvr.commands import evaluate, keys, plan, pretrain
from oneshot_rlvr.commands.planner import DEVICES
from oneshot_rlvr.commands.registries import REGISTRIES, markdown
from oneshot_rlvr.config import AlgorithmSection, ModelSection, names
from oneshot_rlvr.config.resolve import valid_keys
from oneshot_rlvr.evaluation import PROTOCOLS
from oneshot_rlvr.grading import REWARDS
from oneshot_rlvr.organism.pretrain import PRESETS
from oneshot_rlvr.problems import TEMPLATES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "oneshot_rlvr"
ROOMS = (
    "problems",
    "policy",
    "grading",
    "runs",
    "algorithms",
    "rollout",
    "training",
    "evaluation",
    "selection",
    "reporting",
)


@pytest.mark.parametrize("room", [*ROOMS, "reporting"])
def test_only_the_organism_knows_its_name(room):
    found = [path for path in (PACKAGE / room).rglob("*.py") if "organism" in path.read_text().lower()]
    assert found == []


def test_the_loop_can_be_read_in_one_sitting():
    assert len((PACKAGE / "training" / "loop.py").read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", ["gspo", "cispo", "rloo", "reinforce_pp", "max_rl", "dr_grpo"])
def test_a_method_is_a_short_file(name):
    assert len((PACKAGE / "algorithms" / f"{name}.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize("name", ["once", "refill", "hint", "demonstrations"])
def test_a_collector_is_a_short_file(name):
    assert len((PACKAGE / "training" / "collectors" / f"{name}.py").read_text().splitlines()) <= 60


def test_an_upward_import_or_a_cycle_is_found(tmp_path):
    """What `lint-imports` says of the package, and of a copy with one import too many."""
    copy = tmp_path / "src" / "oneshot_rlvr"
    for path in PACKAGE.rglob("*.py"):
        target = copy / path.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())

    def kept() -> bool:
        command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
        environment = {"PYTHONPATH": str(tmp_path / "src"), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode == 0

    assert kept()
    for room, line in [
        ("grading/units.py", "from oneshot_rlvr.training import train"),
        ("rollout/draw.py", "from oneshot_rlvr.algorithms import Experience"),
        ("grading/units.py", "from oneshot_rlvr.grading.compare import compare"),
        ("problems/answers.py", "import torch"),
    ]:
        before = (copy / room).read_text()
        (copy / room).write_text(f"{before}\n\ndef late():\n    {line}\n")
        assert not kept(), line
        (copy / room).write_text(before)


def test_the_tables_of_methods_are_the_registries():
    text = (ROOT / "docs" / "methods.md").read_text()
    assert markdown() in text, "run: python -m oneshot_rlvr.commands.registries, and paste it into docs/methods.md"


def test_the_table_of_keys_is_the_configuration():
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert keys.markdown() in text, "run: python -m oneshot_rlvr.commands.keys, and paste it into docs/configuration.md"
    assert [key.name for key in keys.every_key() if len(key.meaning) < 10] == []
    assert [key.name for key in keys.every_key()] == valid_keys()


def test_the_command_lists_keys_models_rewards_and_problems(monkeypatch):
    monkeypatch.delenv("ONESHOT_DATA", raising=False)
    code, text, _ = oneshot("config", "run.", "--model", "tiny", "--set", "run.steps=7")
    assert code == 0
    assert "run.steps = 7  (--set)" in text
    assert "run.save_every = 4  (model profile tiny)" in text
    assert "Did you mean 'run.steps'" in refused("config", "run.stepz")
    assert all(name in oneshot("models")[1] for name in names("profiles"))
    assert all(name in oneshot("rewards")[1] for name in REWARDS)
    listed = oneshot("problems")[1]
    assert "organism:validation" in listed
    assert "OlympiadBench" in listed
    assert str(ROOT) not in listed


def test_every_unit_says_what_it_does():
    for registry in REGISTRIES:
        for name, _, says in registry.table():
            assert len(says) > 10, (registry.kind, name)


def test_every_recipe_is_documented():
    text = (ROOT / "docs" / "methods.md").read_text()
    assert [name for name in names("recipes") if f"`{name}`" not in text] == []


def test_the_command_lists_recipes_and_methods():
    code, text, _ = oneshot("recipes")
    assert code == 0
    assert all(name in text for name in names("recipes"))
    assert oneshot("recipes", "dapo")[1].startswith("# DAPO")
    code, text, _ = oneshot("methods")
    assert code == 0
    assert all(name in text for registry in REGISTRIES for name in registry)


def test_typed_choices_are_all_there_are():
    """Help texts and descriptions that must not import torch name choices by hand."""
    options = {
        "protocol": (evaluate.model, PROTOCOLS),
        "gpu": (plan.plan, [*DEVICES, "cpu"]),
        "preset": (pretrain.pretrain, PRESETS),
    }
    for name, (command, choices) in options.items():
        said = str(get_type_hints(command, include_extras=True)[name].__metadata__[0].help)
        assert [choice for choice in choices if choice not in said] == []
    fields = {"template": (ModelSection, TEMPLATES), "kl_estimator": (AlgorithmSection, KL_ESTIMATORS)}
    for name, (section, choices) in fields.items():
        assert [c for c in choices if c not in (section.model_fields[name].description or "")] == []


def test_paths_in_the_documentation_exist():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for path in re.findall(r"`((?:src|docs|benchmarks|results|tests)/[\w./-]+)`", page.read_text()):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
        for link in re.findall(r"\]\(([\w./-]+\.(?:md|svg|json))\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links {link}"
