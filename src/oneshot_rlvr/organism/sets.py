"""The organism's problem sets as files: package data that loads like anybody's jsonl."""

from __future__ import annotations

from oneshot_rlvr.organism import DATA, SOURCE
from oneshot_rlvr.organism.world import Exercise, make_world
from oneshot_rlvr.problems import Problem, to_jsonl


def as_problem(exercise: Exercise, set_name: str, number: int) -> Problem:
    """An exercise as a problem, its worked solution included."""
    return Problem(
        id=f"{set_name.removeprefix('suite-')}-{number:03d}",
        question=exercise.question,
        answer=exercise.answer,
        source=SOURCE,
        category=exercise.family,
        level=str(exercise.level),
        solution=" ".join(f"{step}." for step in exercise.truth.steps),
        extra={"hint": exercise.hint, "wording": exercise.wording},
    )


def main() -> None:
    """Write every set of the world (seed 0) as package data: `python -m oneshot_rlvr.organism.sets`."""
    for name, exercises in make_world(0).items():
        problems = (as_problem(exercise, name, i) for i, exercise in enumerate(exercises))
        (DATA / f"{name}.jsonl").write_text(to_jsonl(problems), encoding="utf-8")


if __name__ == "__main__":
    main()
