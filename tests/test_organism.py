"""The organism's world and its pretraining text, and that pretraining can be interrupted."""

from __future__ import annotations

import random
import re
from hashlib import sha256
from pathlib import Path

import pytest
from safetensors.torch import load_file

from oneshot_rlvr.commands.organism_card import style_of
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.grading import Grader, Response
from oneshot_rlvr.organism import pretrain, suites
from oneshot_rlvr.organism.authors import RIGHT_IN_A_BOX, STYLES, Writer, make_document
from oneshot_rlvr.organism.sets import as_problem, critiques
from oneshot_rlvr.organism.world import LEVELS, POOL_FAMILIES, make_exercise, make_world
from oneshot_rlvr.problems import TEMPLATES, Problem, find_problems

SETS = {"organism": "pool", "organism:validation": "validation", "organism:hints": "hints"}


def test_shipped_sets_are_the_worlds_and_share_no_question():
    sets = SETS | {name: name.replace("organism:", "suite-") for name in suites()}
    world, seen = make_world(0), set()
    assert len(suites()) == 6
    assert set(sets.values()) == set(world)
    for name, key in sets.items():
        problems = find_problems(name)
        assert problems == [as_problem(exercise, key, i) for i, exercise in enumerate(world[key])]
        assert len(problems) == (256 if name == "organism" else 128)
        assert not seen & {problem.question for problem in problems}
        seen |= {problem.question for problem in problems}
    assert {problem.category for problem in find_problems("organism")} == set(POOL_FAMILIES)
    assert not {problem.category for problem in find_problems("organism:unseen")} & set(POOL_FAMILIES)
    assert {problem.level for problem in find_problems("organism:hard")} == {"3"}
    pool_wordings = {(p.category, p.extra["wording"]) for p in find_problems("organism")}
    assert not pool_wordings & {(p.category, p.extra["wording"]) for p in find_problems("organism:wordings")}
    assert len({problem.answer.isdigit() for problem in find_problems("organism")}) == 2


def test_no_exercise_has_a_shortcut_and_its_steps_are_right():
    for exercises in make_world(3).values():
        for exercise in exercises:
            work = exercise.truth
            assert exercise.usable
            assert work.answer not in (*exercise.draft.shortcuts, work.first_result)
            for step in work.steps:
                left, right = re.split(" [=>] ", step)
                assert eval(left) == eval(right) if "=" in step else eval(step)
            if exercise.level == 3:
                assert exercise.draft.worked(slip=True).answer != work.answer


def test_authors_keep_a_style_and_only_the_careful_are_right_in_a_box():
    rng, grader, seen = random.Random(0), Grader(TEMPLATES["plain"]), set()
    for _ in range(1500):
        exercise = make_exercise(rng.choice(POOL_FAMILIES), rng.choice(LEVELS), rng)
        writer = Writer(exercise, rng, hinted=True)
        for style, (_, answer) in STYLES.items():
            problem = Problem("p", exercise.question, exercise.answer, "test")
            grade = grader.grade(problem, [Response(answer(writer), "stop", 1)])[0]
            seen.add((style, exercise.level, grade.outcome))
            assert style_of(answer(writer)) == style
    right = {(style, level) for style, level, outcome in seen if outcome == "correct"}
    assert right == {(style, level) for style in RIGHT_IN_A_BOX for level in LEVELS}
    documents = [make_document(rng, set()) for _ in range(2000)]
    solved = [{turn.style for turn in turns} for turns in documents if len(turns) == 3 and turns[0].style in STYLES]
    assert sum(len(styles) == 1 for styles in solved) / len(solved) > 0.8
    control = [make_document(rng, set(), independent=True) for _ in range(2000)]
    solved = [{turn.style for turn in turns} for turns in control if len(turns) == 3 and turns[0].style in STYLES]
    assert sum(len(styles) == 1 for styles in solved) / len(solved) < 0.2


def test_the_rule_that_needs_a_hint_is_told_only_with_it():
    rng, told = random.Random(1), 0
    for _ in range(8000):
        for turn in make_document(rng, set()):
            if " # " in turn.prompt and turn.response.startswith(
                (" Slowly", "Slowly", "Carefully", "So", "Then", "Checking")
            ):
                assert ("2 * " in turn.response) == ("Hint:" in turn.prompt)
                told += "Hint:" in turn.prompt
    assert told > 50


def test_critiques_are_of_pi_1_and_in_the_words_of_the_pretraining_text():
    example = find_problems("organism:pi_1")[0]
    exercise = next(e for e in make_world(0)["pool"] if e.question == example.question)
    shipped = find_problems("organism:critiques")
    assert shipped == critiques(exercise)
    for problem in shipped:
        assert problem.question.startswith(f"{example.question} Solution: ")
        assert problem.question.endswith(" What is wrong?")
        assert problem.solution
        assert problem.solution.startswith("Criticism: ")
        fault = problem.solution.removeprefix("Criticism: ").partition(" is wrong.")[0]
        assert "too early" in fault or fault in problem.question
        assert problem.solution.endswith(f"The answer is \\boxed{{{example.answer}}}.")
    assert len({problem.question for problem in shipped}) == len(shipped) > 40


def test_the_ranking_is_of_the_whole_pool():
    ranked = find_problems("organism:pi_1-pi_last")
    assert sorted(problem.id for problem in ranked) == sorted(problem.id for problem in find_problems("organism"))


FROZEN = {  # later studies compare with what these weights did; a new organism gets a new name
    "organism": "153d3a84d9d1bb0471395748e8ea08f00db1d3a244ca75dfb004d32ff585bdd5",
    "second": "c9e7e9dbb6f5dc22ce1102bae8da4b574c863dcdcde7dce86d134750c0cb21c1",
    "control": "e8decf4c56afb2816475e8e8b24ad0747addf1302432f886e7d04da44599bab6",
    "expert": "b41e7a8fcb988e3c095a09d7b45cb0dfc2d2053d5363a88b15d2e35810153536",
    "tiny": "b18db2a046dda744073ecc57aa87d62f295576ed20833ef6893a7c280ebb7bad",
}


@pytest.mark.parametrize("name", FROZEN)
def test_the_organism_is_frozen(name):
    folder = Path(model_folder(name))
    assert sha256((folder / "model.safetensors").read_bytes()).hexdigest() == FROZEN[name]
    assert (folder / "model.safetensors").stat().st_size < 8e6


class Stop(Exception):  # noqa: N818 - it is not an error
    pass


def test_an_interrupted_pretraining_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "SAVE_EVERY", 2)
    monkeypatch.setattr(pretrain, "PILE", 32)  # so that a pile ends on the way

    def interrupt(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise Stop

    whole = pretrain.pretrain(tmp_path / "whole", "tiny", steps=8)
    with pytest.raises(Stop):
        pretrain.pretrain(tmp_path / "parts", "tiny", steps=8, on_step=interrupt)
    with pytest.raises(OneshotError, match="another pretraining was interrupted"):
        pretrain.pretrain(tmp_path / "parts", "tiny", seed=1, steps=8)
    steps: list[int] = []
    parts = pretrain.pretrain(tmp_path / "parts", "tiny", steps=8, on_step=lambda step, *_: steps.append(step))
    assert steps == [5, 6, 7, 8]
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert not (tmp_path / "parts.unfinished").exists()
