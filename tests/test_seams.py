"""Every method is a recipe; a user's own advantage, collector and reward train from files outside the package."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from command import oneshot, refused
from oneshot_rlvr.commands.session import chosen_problems, start
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import get_reward
from oneshot_rlvr.problems import Problem, find_problems, get_template, hinted
from oneshot_rlvr.problems.solutions import demonstration, first_steps
from oneshot_rlvr.rollout import ScriptedSampler
from oneshot_rlvr.runs import Run
from oneshot_rlvr.training import prepare, train
from oneshot_rlvr.training.checkpoint import restore_learner
from oneshot_rlvr.training.models import Learner
from runs import weights

PACKAGE = Path(__file__).parents[1] / "src" / "oneshot_rlvr"
SHORT = ["run.steps=2", "run.save_every=2", "batch.groups_per_step=4", "batch.group_size=4"]


def run_of(folder: Path, recipe: str, *settings: str, sampler=None, problems=None) -> Run:
    """A finished run of two steps on the tiny model."""
    config, sources = resolve(recipe, "tiny", [*SHORT, *settings])
    run = Run(folder)
    problems = problems or chosen_problems(config)
    if sampler is None:
        start(run, config, sources, problems)
        return run
    with run.locked():
        run.write_config(config, sources)
        train(prepare(config, run, problems, sampler))
    return run


RIGHT, WRONG = r" The answer is \boxed{12}.", r" The answer is \boxed{1}."
TWELVE = Problem("p", "What is 3 + 4 + 5?", "12", "test", solution="3 + 4 = 7. 7 + 5 = 12.")


def mixed(tokenizer) -> ScriptedSampler:
    """Half of every group is right."""
    return ScriptedSampler(tokenizer, lambda prompt, copy: RIGHT if copy % 2 else WRONG)


@pytest.mark.parametrize(
    "neutral",
    [
        "algorithm.collector=refill",
        "algorithm.collector=hint",
        "algorithm.surrogate='cispo(low=1.0, high=0.2)'",
        "algorithm.surrogate=log_likelihood",
        "algorithm.surrogate='gspo(low=0.1, high=0.1)'",
        "algorithm.clip_high=0.28",
        "algorithm.penalties='0*entropy'",
    ],
)
def test_a_neutral_variant_is_grpo(neutral, tmp_path, tokenizer):
    """On-policy, with every group varied, none of these can matter; rounding alone may differ where formulas do."""
    runs = [
        run_of(tmp_path / name, "grpo", *settings, sampler=mixed(tokenizer), problems=[TWELVE])
        for name, settings in (("grpo", ()), ("variant", (neutral,)))
    ]
    ours, theirs = (weights(run, 2) for run in runs)
    exact = "surrogate" not in neutral
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor) if exact else torch.allclose(ours[name], tensor, atol=1e-5), name


class Attempts(ScriptedSampler):
    """Groups are all wrong until the attempt that `solved_at` names for their problem; prompts are remembered."""

    def __init__(self, tokenizer, solved_at):
        super().__init__(tokenizer, lambda prompt, copy: "")
        self.solved_at, self.asked = solved_at, []

    def sample(self, prompts, n, params):
        self.asked += prompts
        self.script = lambda prompt, copy: (
            RIGHT if prompt.attempt >= self.solved_at(prompt) and copy % 2 == 0 else WRONG
        )
        return super().sample(prompts, n, params)


def test_refill_asks_until_enough_groups_have_variance(tmp_path, tokenizer):
    sampler = Attempts(tokenizer, lambda prompt: 1 if prompt.stream < 2 else 2)
    run = run_of(tmp_path / "run", "dapo", "run.steps=1", sampler=sampler, problems=[TWELVE])
    assert [prompt.attempt for prompt in sampler.asked] == [0] * 4 + [1] * 4 + [2] * 4
    [metrics] = run.metrics()
    assert (metrics["group/sampled"], metrics["group/count"]) == (12, 4)
    assert metrics["group/zero_variance_fraction"] == 0
    assert (metrics["outcome/correct"], metrics["outcome/correct_of_sampled"]) == (0.5, 0.25)
    assert metrics["tokens/sampled"] > sum(row["tokens"] for row in run.rollouts(1))
    assert {row["outcome"] for row in run.rollouts(1)} == {"correct", "wrong"}


def test_refill_is_bounded_and_trains_on_what_there_is(tmp_path, tokenizer):
    never = ["algorithm.collector='refill(rounds=3)'", "run.steps=1", "algorithm.reward=accuracy"]
    few = Attempts(tokenizer, lambda prompt: 2 if prompt.stream == 0 else 99)
    [metrics] = run_of(tmp_path / "few", "dapo", *never, sampler=few, problems=[TWELVE]).metrics()
    assert (metrics["group/sampled"], metrics["group/count"]) == (12, 1)
    none = Attempts(tokenizer, lambda prompt: 99)
    [metrics] = run_of(tmp_path / "none", "dapo", *never, sampler=none, problems=[TWELVE]).metrics()
    assert (metrics["group/sampled"], metrics["group/count"], metrics["policy/grad_norm"]) == (12, 4, 0)
    assert metrics["outcome/correct_of_sampled"] == 0
    solved = ScriptedSampler(tokenizer, lambda prompt, copy: RIGHT)
    [metrics] = run_of(tmp_path / "solved", "dapo", *never, sampler=solved, problems=[TWELVE]).metrics()
    assert (metrics["reward/mean"], metrics["policy/grad_norm"]) == (1, 0)  # solved, which is not a reward of 0
    assert metrics["outcome/correct_of_sampled"] == 1


def test_refill_trains_on_no_length_penalty_where_no_group_is_mixed(tmp_path, tokenizer):
    sampler = ScriptedSampler(tokenizer, lambda prompt, copy: WRONG * (1 + copy))
    settings = ["run.steps=1", "algorithm.reward='accuracy + overlong(max_tokens=30)'", "algorithm.collector"]
    run = run_of(
        tmp_path,
        "dapo",
        *settings[:2],
        "algorithm.collector=\"refill(rounds=1, by='outcome')\"",
        sampler=sampler,
        problems=[TWELVE],
    )
    assert {row["advantage"] for row in run.rollouts(1)} == {0}


def test_refill_by_outcome_does_not_take_a_length_penalty_for_variance(tmp_path, tokenizer):
    sampler = ScriptedSampler(tokenizer, lambda prompt, copy: WRONG * (1 + copy))
    settings = ["run.steps=1", "algorithm.reward='accuracy + overlong(max_tokens=30)'"]
    for by, sampled in (("reward", 4), ("outcome", 8)):
        collector = f"algorithm.collector=\"refill(rounds=2, by='{by}')\""
        run = run_of(tmp_path / by, "dapo", *settings, collector, sampler=sampler, problems=[TWELVE])
        assert run.metrics()[0]["group/sampled"] == sampled


def test_hints_for_groups_that_all_fail(tmp_path, tokenizer):
    """Group 0 is solved at once, group 1 with the first hint, group 2 with the second, group 3 never."""
    sampler = Attempts(tokenizer, lambda prompt: (0, 1, 2, 99)[prompt.stream])
    settings = ["run.steps=1", "algorithm.collector=hint"]
    run = run_of(tmp_path / "run", "grpo", *settings, sampler=sampler, problems=[TWELVE])
    asked = [(prompt.attempt, prompt.stream) for prompt in sampler.asked]
    assert asked == [*((0, s) for s in range(4)), *((1, s) for s in (1, 2, 3)), (2, 2), (2, 3), (3, 3)]
    hints = [{row.get("hint", 0) for row in run.rollouts(1) if row["group"] == group} for group in range(4)]
    assert hints == [{0}, {0.25}, {0.5}, {0.75}]
    assert run.metrics()[0]["group/hinted_fraction"] == 0.75
    template = get_template("plain")
    questions = {tuple(p.ids): tokenizer.decode(list(p.ids)) for p in sampler.asked}
    assert questions[sampler.asked[4].ids] == template.render(hinted(TWELVE, 0.25).question)
    cold = Attempts(tokenizer, lambda prompt: 99)
    run_of(tmp_path / "cold", "grpo", "algorithm.collector='hint(cold_start=2)'", sampler=cold, problems=[TWELVE])
    assert {prompt.attempt for prompt in cold.asked} == {0}


def test_a_hinted_rollout_is_scored_against_the_prompt_that_produced_it(tmp_path, tokenizer):
    sampler = Attempts(tokenizer, lambda prompt: 1)
    config, _ = resolve("grpo", "tiny", [*SHORT, "algorithm.collector=hint"])
    run = Run(tmp_path / "run")
    with run.locked():
        groups = prepare(config, run, [TWELVE], sampler).collect(1)
    for group in groups:
        assert group.problem == TWELVE
        assert {rollout.prompt_ids for rollout in group.rollouts} == {sampler.asked[-1].ids}
    assert sampler.asked[-1].ids != sampler.asked[0].ids


def test_hints_end_at_a_step_and_give_no_answer_away():
    solution = r"We have \frac{1}{2.5} = 0.4. Then x = 3.5. So it is 7." + "\nDone."
    steps = [first_steps(solution, fraction) for fraction in (0.01, 0.25, 0.5, 0.75, 1.0)]
    ends = [r"We have \frac{1}{2.5} = 0.4.", "Then x = 3.5.", "So it is 7."]
    for found in steps:
        assert solution.startswith(found)
        assert any(found.endswith(end) for end in ends), found
    assert (steps[0], steps[-1]) == (ends[0], solution.removesuffix("\nDone."))
    assert [len(step) for step in steps] == sorted(len(step) for step in steps)
    assert first_steps("2+3=5\n#### 5", 0.75) == "2+3=5"
    assert first_steps(r"We add. So \boxed{5}. Now check.", 1.0) == "We add."
    assert first_steps(r"We add 2 and 3 to get 5, so \boxed{5}.", 0.25) == ""
    for problem in find_problems("organism:hints"):
        for fraction in (0.25, 0.5, 0.75):
            hint = hinted(problem, fraction).question.partition("Hint: ")[2]
            assert hint.startswith(problem.extra["hint"])
            assert not hint.endswith(f"= {problem.answer}.")


def test_a_problem_without_a_solution_has_no_hint_and_demonstrates_nothing(tmp_path, tokenizer):
    bare = dataclasses.replace(TWELVE, solution=None)
    for collector in ("hint", "demonstrations"):
        with pytest.raises(OneshotError, match=r"problem p.*column `solution`"):
            run_of(tmp_path / collector, "grpo", f"algorithm.collector={collector}", problems=[TWELVE, bare])
        assert not (tmp_path / collector).exists()  # found before the run began


def test_demonstrations_are_learnt_by_their_cross_entropy(tmp_path, tokenizer):
    config, _ = resolve("sft", "tiny", [*SHORT, "run.steps=1"])
    run = Run(tmp_path / "run")
    with run.locked():
        trainer = prepare(config, run, [TWELVE])
        policy = trainer.models.policy
        prompt = list(trainer.source.encode(TWELVE))
        response = [*tokenizer(demonstration(TWELVE, get_template("plain")))["input_ids"], tokenizer.eos_token_id]
        policy.model.set_attn_implementation("sdpa")
        with torch.no_grad():
            logits = policy.model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        policy.model.set_attn_implementation("oneshot_shared_prefix")
        train(trainer)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(response)).item()
    [metrics] = run.metrics()
    assert metrics["policy/loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["outcome/correct"] == 1
    assert "policy/sampler_gap" not in metrics
    assert metrics["group/sampled"] == 0


def test_demonstrations_answer_where_the_template_asks():
    boxed = dataclasses.replace(TWELVE, solution=r"So \boxed{12}.")
    assert demonstration(boxed, get_template("plain")) == r" So \boxed{12}."
    assert demonstration(TWELVE, get_template("boxed")) == rf"{TWELVE.solution} The answer is \boxed{{12}}."
    assert demonstration(TWELVE, get_template("hash")).endswith("\n#### 12")
    assert demonstration(TWELVE, get_template("r1")).endswith("</think>\nThe answer is \\boxed{12}.")


MINE = """
import dataclasses

from oneshot_rlvr.algorithms import ADVANTAGES


def twice(experience, factor=2.0):
    found = ADVANTAGES["grpo"](experience)
    return dataclasses.replace(found, advantages=[factor * row for row in found.advantages])


def pairs(source, step, keep=2):
    return source.groups(step, source.problems_of(step))[:keep]


def brief(problem, responses):
    return [1.0 if r.outcome == "correct" and r.tokens < 40 else 0.0 for r in responses]


def broken(experience):
    return experience.nothing


def nothing(source, step):
    return []


def whole(experience):
    return dataclasses.replace(experience, advantages=experience.rewards_B)


def lists(experience):
    return dataclasses.replace(experience, advantages=[[1.0] for _ in experience.responses])


def alone(inputs):
    return -inputs.advantages_BT * inputs.logprobs_BT


def plain(values, mask, totals):
    return values.sum()


def squared(p, q):
    return 0.25 * (p - q).square()
"""


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    (tmp_path / "mine_seams.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(folder: Path, **algorithm: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"like": "grpo", "algorithm": algorithm, "run": {"steps": 2}}))
    return path


def test_a_users_advantage_collector_and_reward_train_from_a_recipe(mine):
    path = recipe(mine, advantage="mine_seams:twice", collector="mine_seams:pairs(keep=3)", reward="mine_seams:brief")
    code, _, err = oneshot("train", path, "--model", "tiny", "--out", mine / "run", "--steps", 2, "--quiet")
    assert code == 0, err
    run = Run(mine / "run")
    assert run.metrics()[0]["group/count"] == 3
    assert run.config.algorithm.entropy_coefficient == 0.001  # from grpo
    plain = recipe(mine, collector="mine_seams:pairs(keep=3)", reward="mine_seams:brief")
    assert oneshot("train", plain, "--model", "tiny", "--out", mine / "plain", "--steps", 2, "--quiet")[0] == 0
    ours, theirs = (r.rollouts(1) for r in (run, Run(mine / "plain")))
    assert [row["text"] for row in ours] == [row["text"] for row in theirs]
    assert any(row["advantage"] for row in theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert our["advantage"] == pytest.approx(2 * their["advantage"], abs=2e-6)
    assert run.sources["algorithm.advantage"] == f"recipe {path}"
    assert oneshot("train", "--resume", run.path, "--steps", 3)[0] == 0


@pytest.mark.parametrize(
    ("algorithm", "says"),
    [
        ({"advantage": "mine_seams:broken"}, r"AttributeError.*mine_seams\.py:\d+"),
        ({"advantage": "mine_seams:gone"}, "has no function 'gone'"),
        ({"collector": "mine_seams:nothing"}, "did not return a list of groups"),
        ({"advantage": "mine_seams:twice(x=1)"}, "It has: factor"),
        ({"collector": "twice"}, "unknown collector 'twice'"),
        ({"advantage": "mine_seams:whole"}, "did not return what it should"),
        ({"advantage": "mine_seams:lists"}, "did not return what it should"),
        ({"surrogate": "mine_seams:broken"}, "AttributeError"),
        ({"surrogate": "mine_seams:alone"}, r"return \(values"),
        ({"aggregation": "mine_seams:plain"}, "what it is divided by"),
        ({"penalties": "0.1*mine_seams:plain"}, "TypeError"),
        ({"kl_estimator": "k9"}, "Did you mean"),
        ({"advantage": "reinforce_pp(kl=0.1, estimator='k9')"}, "unknown KL estimator"),
    ],
)
def test_mistakes_in_a_users_files_are_one_line(mine, algorithm, says):
    import re

    said = refused("train", recipe(mine, **algorithm), "--model", "tiny", "--out", mine / "run", "--quiet")
    assert re.search(says, said), said


def test_a_users_kl_estimator(mine):
    path = recipe(mine, kl_estimator="mine_seams:squared", penalties="0.5*kl(estimator='mine_seams:squared')")
    code, _, err = oneshot("train", path, "--model", "tiny", "--out", mine / "run", "--steps", 2, "--quiet")
    assert code == 0, err
    assert Run(mine / "run").metrics()[1]["policy/kl"] > 0


def test_recipes_may_be_like_others(tmp_path):
    (tmp_path / "a.yaml").write_text("like: b.yaml\nrun: {seed: 3}\n")
    (tmp_path / "b.yaml").write_text("like: dapo\nalgorithm: {clip_high: 0.4}\nbatch: {group_size: 2}\n")
    config, sources = resolve(str(tmp_path / "a.yaml"), "tiny")
    assert (config.run.seed, config.algorithm.clip_high, config.algorithm.kl_coefficient) == (3, 0.4, 0)
    assert config.batch.group_size == 2  # a user's own file is stronger than a model's profile
    assert config.batch.groups_per_step == 4  # which is stronger than a shipped recipe
    assert sources["algorithm.collector"] == "recipe dapo"
    assert sources["optimizer.weight_decay"] == "recipe grpo"
    (tmp_path / "b.yaml").write_text("like: a.yaml\n")
    with pytest.raises(OneshotError, match="like itself"):
        resolve(str(tmp_path / "a.yaml"))
    (tmp_path / "b.yaml").write_text("like: [a]\n")
    with pytest.raises(OneshotError, match="`like` names one recipe"):
        resolve(str(tmp_path / "b.yaml"))
    (tmp_path / "b.yaml").write_text("like: gpro\n")
    with pytest.raises(OneshotError, match="Did you mean 'grpo'"):
        resolve(str(tmp_path / "b.yaml"))


def test_learners_are_saved_and_restored_by_name(tmp_path):
    """A second learner beside the policy: its weights and its optimizer's state survive a checkpoint."""
    config, sources = resolve("grpo", "tiny", [*SHORT, "data.only=[pool-000]"])
    run = Run(tmp_path / "run")

    def critic(value: float) -> Learner:
        module = torch.nn.Linear(3, 1)
        torch.nn.init.constant_(module.weight, value)
        return Learner("critic", module, torch.optim.AdamW(module.parameters(), lr=0.1), config.optimizer)

    with run.locked():
        run.write_config(config, sources)
        trainer = prepare(config, run, chosen_problems(config))
        trainer.models.learners["critic"] = learner = critic(1.0)
        learner.module(torch.ones(3)).sum().backward()
        learner.step(0.0)
        train(trainer)
    again = critic(0.0)
    restore_learner(run, 2, again)
    assert torch.equal(again.module.weight, learner.module.weight)
    state, expected = (one.optimizer.state[one.module.weight] for one in (again, learner))
    assert all(torch.equal(state[key], expected[key]) for key in ("exp_avg", "exp_avg_sq", "step"))
    (run.checkpoint_path(2) / "trainer" / "critic" / "weights.safetensors").unlink()
    with pytest.raises(OneshotError, match="the state of the critic is damaged"):
        restore_learner(run, 2, critic(0.0))


def test_a_teacher_is_asked_for_and_scored(mine):
    (mine / "pupil_seams.py").write_text(
        "import dataclasses\n"
        "def distil(experience):\n"
        "    pairs = zip(experience.teacher, experience.old)\n"
        "    return dataclasses.replace(experience, advantages=[t - o for t, o in pairs])\n"
        "distil.needs = ('teacher', 'old', 'zero_advantage')\n"
    )
    path = recipe(mine, advantage="pupil_seams:distil")
    without = ["--set", "algorithm.teacher=null", "--out", mine / "none", "--quiet"]
    assert "needs a teacher" in refused("train", path, "--model", "tiny", *without)
    command = ["train", path, "--model", "tiny", "--quiet", "--steps", 1, "--set"]
    assert oneshot(*command, "algorithm.teacher=tiny", "--out", mine / "same")[0] == 0
    assert {row["advantage"] for row in Run(mine / "same").rollouts(1)} == {0}  # a model teaches itself nothing
    assert oneshot(*command, "algorithm.teacher=organism", "--out", mine / "other")[0] == 0
    assert {row["advantage"] for row in Run(mine / "other").rollouts(1)} != {0}
    other = shutil.copytree(PACKAGE / "organism" / "weights" / "tiny", mine / "other-tokens")
    words = json.loads((other / "tokenizer.json").read_text())
    words["added_tokens"][-1]["content"] += "x"
    (other / "tokenizer.json").write_text(json.dumps(words))
    said = refused(*command, f"algorithm.teacher={other}", "--out", mine / "refused")
    assert "reads other tokens" in said


def test_a_need_that_nothing_gives_is_refused(mine):
    (mine / "needy_seams.py").write_text("def a(experience):\n    return experience\na.needs = ('oracle',)\n")
    path = recipe(mine, advantage="needy_seams:a")
    assert "needs 'oracle'" in refused("train", path, "--model", "tiny", "--out", mine / "run")


def test_rewards_of_a_run_inherit_its_seed_and_length():
    assert get_reward("overlong", seed=1, max_tokens=10)(TWELVE, []) == []
