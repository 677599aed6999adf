"""The organism's problem sets as files: package data that loads like anybody's jsonl."""

from __future__ import annotations

from oneshot_rlvr.organism import DATA, SOURCE
from oneshot_rlvr.organism.authors import steps_text
from oneshot_rlvr.organism.world import Exercise, make_world
from oneshot_rlvr.problems import Problem, find_problems, to_jsonl

SLIPS = (-10, -3, -2, -1, 1, 2, 3, 10)  # how far a criticised result is off


def as_problem(exercise: Exercise, set_name: str, number: int) -> Problem:
    """An exercise as a problem, its worked solution included."""
    return Problem(
        id=f"{set_name.removeprefix('suite-')}-{number:03d}",
        question=exercise.question,
        answer=exercise.answer,
        source=SOURCE,
        category=exercise.family,
        level=str(exercise.level),
        solution=steps_text(exercise.truth.steps),
        extra={"hint": exercise.hint, "wording": exercise.wording},
    )


def critiques(exercise: Exercise) -> list[Problem]:
    """Solutions to one exercise, each with a number that is wrong or cut off too early, as problems whose solution is
    the critique: in the words in which the pretraining text criticises."""
    steps = exercise.truth.steps
    found: list[Problem] = []
    for place, step in enumerate(steps):
        left, _, right = step.rpartition(" = ")
        wrong = [f"{left} = {int(right) + slip}" for slip in SLIPS] if right.lstrip("-").isdigit() else []
        shown = [(f"{text} is wrong.", [*steps[:place], text, *steps[place + 1 :]], steps[place:]) for text in wrong]
        shown += [("It stops too early.", steps[:place], steps[place:])] if place else []
        for fault, attempt, rest in shown:
            found.append(
                Problem(
                    id=f"critique-{len(found):03d}",
                    question=f"{exercise.question} Solution: {steps_text(attempt)} What is wrong?",
                    answer=exercise.answer,
                    source=SOURCE,
                    category=exercise.family,
                    level=str(exercise.level),
                    solution=f"Criticism: {fault} {steps_text(rest)} The answer is \\boxed{{{exercise.answer}}}.",
                )
            )
    return found


def main() -> None:
    """Write every set of the world (seed 0) as package data: `python -m oneshot_rlvr.organism.sets`."""
    world = make_world(0)
    for name, exercises in world.items():
        problems = [as_problem(exercise, name, i) for i, exercise in enumerate(exercises)]
        (DATA / f"{name}.jsonl").write_text(to_jsonl(problems), encoding="utf-8")
    first = find_problems(f"{SOURCE}:pi_1")[0]
    example = next(exercise for exercise in world["pool"] if exercise.question == first.question)
    (DATA / "critiques.jsonl").write_text(to_jsonl(critiques(example)), encoding="utf-8")


if __name__ == "__main__":
    main()
