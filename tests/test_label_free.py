"""Rewards that the policy gives itself, teachers, and the stop before a collapse."""

from __future__ import annotations

import dataclasses
import math
import shutil

import pytest
import torch

from command import oneshot, refused
from oneshot_rlvr.algorithms import ADVANTAGES
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import Grade, Response
from oneshot_rlvr.grading.rewards import REWARDS
from oneshot_rlvr.policy import CertaintyScorer, EntropyScorer, Scorer
from oneshot_rlvr.problems import Problem, find_problems, hinted, informed
from oneshot_rlvr.runs import Run
from oneshot_rlvr.training import Group
from oneshot_rlvr.training.telemetry import answer_entropy
from random_models import random_policy
from test_algorithms import experience, t
from test_forward import PROMPTS, RESPONSES
from test_seams import TWELVE, run_of


def test_rent_is_grpo_of_minus_the_mean_entropy():
    """Means 0.5 and 0.1: the surer response is better by the same as a reward of -0.1 against -0.5."""
    seen = dataclasses.replace(experience([1.0, 0.0], lengths=[2, 1]), entropy=[t(0.2, 0.8), t(0.1)])
    found = ADVANTAGES["rent"](seen)
    wanted = ADVANTAGES["grpo"](experience([-0.5, -0.1], lengths=[2, 1]))
    assert all(torch.allclose(a, b) for a, b in zip(found.advantages, wanted.advantages, strict=True))
    assert found.rewards_B.tolist() == [1.0, 0.0]  # what the metrics tell stays the configured reward


def test_intuitor_is_grpo_of_the_mean_certainty():
    seen = dataclasses.replace(experience([None, 0.0], lengths=[2, 1]), certainty=[t(1.0, 3.0), t(1.0)])
    found = ADVANTAGES["intuitor"](seen)
    wanted = ADVANTAGES["grpo"](experience([2.0, 1.0], lengths=[2, 1]))
    assert all(torch.allclose(a, b) for a, b in zip(found.advantages, wanted.advantages, strict=True))


@pytest.mark.parametrize(("name", "field"), [("distillation", "teacher"), ("self_distillation", "informed")])
def test_distillation_is_the_teachers_log_probability_over_ones_own(name, field):
    seen = dataclasses.replace(experience([1.0], lengths=[2]), old=[t(-1.0, -2.0)], **{field: [t(-0.5, -4.0)]})
    assert ADVANTAGES[name](seen).advantages[0].tolist() == [0.5, -2.0]


@pytest.mark.parametrize("kind", ["qwen2", "gpt2"])
def test_entropy_and_certainty_are_those_of_the_whole_distribution(kind):
    """Against softmax by hand on the logits of a plain forward pass, with and without a shared prefix."""
    policy, temperature = random_policy(kind), 0.7
    rows = [0] * len(RESPONSES)
    for scorer_class, formula in (
        (EntropyScorer, lambda p: -(p * p.log()).sum(-1)),
        (CertaintyScorer, lambda p: -p.log().mean(-1) - math.log(p.shape[-1])),
    ):
        with torch.no_grad(), scorer_class(policy, PROMPTS, temperature) as scorer:
            (found_BT,) = scorer.score(rows, RESPONSES)
        for found_T, ids in zip(found_BT, RESPONSES, strict=True):
            text = torch.tensor([[*PROMPTS[0], *ids]])
            with torch.no_grad():
                logits = policy.model(input_ids=text).logits[0, len(PROMPTS[0]) - 1 : -1]
            wanted = formula((logits / temperature).softmax(-1))
            assert torch.allclose(found_T[: len(ids)], wanted, atol=1e-4)
    with torch.no_grad(), Scorer(policy, PROMPTS, temperature) as scorer:
        assert torch.equal(scorer.score(rows, RESPONSES)[1], _first(policy, rows, temperature))


def _first(policy, rows, temperature):
    with torch.no_grad(), EntropyScorer(policy, PROMPTS, temperature) as scorer:
        return scorer.score(rows, RESPONSES)[0]


def test_a_shared_answer_earns_its_share():
    answers = [Response("", "stop", 1, extracted=x) for x in ("12", "12.0", "7", None)]
    assert REWARDS["same_answer"](TWELVE, answers) == [0.5, 0.5, 0.25, 0.0]


def graded(*answers: str | None) -> Group:
    return Group(TWELVE, [], [Grade("wrong", 0.0, answer, "string") for answer in answers])


def test_entropy_of_answers_pools_a_problems_groups():
    assert answer_entropy([graded("1", "1"), graded("1", "1")]) == 0
    assert answer_entropy([graded("1", "1"), graded("2", None)]) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    other = dataclasses.replace(graded("5", "6"), problem=dataclasses.replace(TWELVE, id="q"))
    assert answer_entropy([graded("1", "$1$"), other]) == pytest.approx(math.log(2) / 2)


def test_a_run_stops_where_its_metric_falls(tmp_path):
    run = run_of(tmp_path / "run", "grpo", "run.stop_when=answer/entropy < 100")
    assert [line["run/stopped"] for line in run.metrics()] == [1.0]
    assert run.steps() == [1]
    assert run.stopped
    code, said, _ = oneshot("train", "--resume", run.path, "--quiet")
    assert code == 0
    assert "run.stop_when='answer/entropy < 100' ended it" in said
    assert run.steps() == [1]
    on = run_of(tmp_path / "on", "grpo", "run.stop_when=answer/entropy < -1")
    assert [line["run/stopped"] for line in on.metrics()] == [0.0, 0.0]
    assert not on.stopped


def test_a_stop_whose_checkpoint_a_kill_took_is_not_the_end(tmp_path):
    run = run_of(tmp_path / "run", "grpo", "run.stop_when=answer/entropy < 100", "run.save_every=1")
    whole = run.metrics()
    shutil.rmtree(run.checkpoint_path(1))
    assert not run.stopped
    assert oneshot("train", "--resume", run.path, "--quiet")[0] == 0
    assert run.stopped
    assert run.metrics()[0]["policy/loss"] == whole[0]["policy/loss"]


def test_a_stop_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(OneshotError, match="not measured at every step"):
        resolve("grpo", "tiny", ["run.stop_when=validation/avg@4 < 3"])
    with pytest.raises(OneshotError, match="stop_when"):
        resolve("grpo", "tiny", ["run.stop_when=answer/entropy"])
    with pytest.raises(OneshotError, match=r"no metric 'answer/entrpy'.*answer/entropy"):
        run_of(tmp_path / "run", "grpo", "run.stop_when=answer/entrpy < 1")


def test_a_loss_that_diverges_names_step_metric_and_the_last_good_checkpoint(tmp_path, monkeypatch):
    from oneshot_rlvr.training.models import Learner

    real = Learner.step

    def step(self, loss):
        return real(self, math.nan if (tmp_path / "run" / "checkpoints" / "step_000001").is_dir() else loss)

    monkeypatch.setattr(Learner, "step", step)
    with pytest.raises(OneshotError, match=r"step 2: policy/loss is nan.*step_000001") as caught:
        run_of(tmp_path / "run", "grpo", "run.save_every=1")
    assert "\n" not in str(caught.value)


def test_who_is_informed_is_shown_the_solution():
    assert "Now solve" in informed(TWELVE).question
    assert "3 + 4 = 7. 7 + 5 = 12." in informed(TWELVE).question
    own = find_problems("organism:pi_1")[0]
    assert informed(own) == hinted(own, 1.0)  # in the organism's own words
    with pytest.raises(OneshotError, match="has none"):
        informed(Problem("p", "1+1?", "2", "test"))


def test_the_informed_base_is_another_teacher_than_the_base(tmp_path):
    """At the first step the policy is the base: were the prompt the same, every advantage would be 0."""
    run = run_of(tmp_path / "run", "opsd")
    assert any(row["advantage"] for row in run.rollouts(1))


def test_a_problem_without_solution_informs_nobody(tmp_path):
    file = tmp_path / "bare.jsonl"
    file.write_text('{"question": "3+4+5?", "answer": "12"}\n')
    args = ["--model", "tiny", "--problems", file, "--out", tmp_path / "run", "--steps", 1]
    assert "it has none" in refused("train", "opsd", *args)
    assert not Run(tmp_path / "run").path.exists()
