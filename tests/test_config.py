"""Configuration: precedence, sources, and mistakes."""

from __future__ import annotations

import pytest
import yaml

from oneshot_rlvr.config import Config, build, names, resolve
from oneshot_rlvr.errors import OneshotError


@pytest.mark.parametrize("model", names("profiles"))
def test_every_recipe_and_profile_resolves(model):
    for recipe in names("recipes"):
        if (recipe, model) == ("grpo-8-updates", "tiny"):  # which has four groups a step
            with pytest.raises(OneshotError, match="does not divide"):
                resolve(recipe, model)
            continue
        config, sources = resolve(recipe, model)
        assert config.recipe == recipe
        origins = {source.split()[0] for source in sources.values()}
        assert origins <= {"package", "recipe", "model", "command"}, recipe


def test_later_layers_win_and_say_so(tmp_path):
    config, sources = resolve(
        "grpo", "organism", ["run.steps=7", "optimizer.betas=[0.8, 0.9]"], {"run.seed": 3, "run.steps": None}
    )
    assert (config.run.steps, config.run.seed, config.optimizer.betas) == (7, 3, (0.8, 0.9))
    assert config.batch.groups_per_step == 16
    assert sources["run.steps"] == "--set"
    assert sources["run.seed"] == "command line"
    assert sources["batch.groups_per_step"] == "model profile organism"
    assert sources["algorithm.entropy_coefficient"] == "recipe grpo"
    assert sources["optimizer.eps"] == "package default"


def test_a_users_recipe_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"optimizer": {"learning_rate": "1e-5"}}))
    config, _ = resolve(str(path), "tiny", ["optimizer.weight_decay=0"])
    assert config.optimizer.weight_decay == 0
    path.write_text("- a list")
    with pytest.raises(OneshotError, match="YAML mapping"):
        resolve(str(path))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["optimizer.learning_rat=1"], "Did you mean 'optimizer.learning_rate'"),
        (["run.steps=0"], "run.steps"),
        (["run.steps=many"], "run.steps"),
        (["run.steps"], "not key=value"),
        (["batch.minibatches=3"], "does not divide"),
        (["sampling.top_p=0.9"], "top_p"),
        (["optimizer.learning_rate=.nan"], "optimizer.learning_rate"),
        (["data.only=null"], "data.only"),
    ],
)
def test_mistakes_are_named_on_one_line(settings, says):
    with pytest.raises(OneshotError, match=says) as error:
        resolve("grpo", "organism", settings)
    assert "\n" not in str(error.value)


def test_what_yaml_makes_of_a_text_is_not_taken_for_it(tmp_path):
    """YAML reads 010 as 8, an alias may hold itself, and no file system has a name of 300 letters."""
    assert resolve(settings=["data.only=[010, pool-1]"])[0].data.only == ("010", "pool-1")
    assert resolve(settings=["data.only=010"])[0].data.only == ("010",)
    assert resolve(settings=["data.problems=" + "x" * 300])[0].data.problems == "x" * 300
    path = tmp_path / "mine.yaml"
    path.write_text("run: &own {steps: *own}")
    with pytest.raises(OneshotError, match="cannot read this recipe"):
        resolve(str(path))


def test_unknown_recipe_and_model():
    with pytest.raises(OneshotError, match="Did you mean 'grpo'"):
        resolve("gpro")
    with pytest.raises(OneshotError, match="Did you mean 'organism'"):
        resolve("grpo", "organsim")


def test_the_resolved_configuration_reads_back():
    config, _ = resolve("grpo", "organism", ["data.only=[a, b]", "run.loggers=[tensorboard]"])
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert build({}, {}) == Config()


def test_a_profile_like_another_overrides_some_of_its_values():
    organism, second = resolve("grpo", "organism")[0], resolve("grpo", "second")[0]
    assert second.model == organism.model.model_copy(update={"path": "second"})
    assert second.batch == organism.batch
    assert resolve("grpo", "tiny")[0].batch.groups_per_step == 4
