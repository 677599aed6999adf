"""The organism's problem sets as files: package data that loads like anybody's jsonl."""

from __future__ import annotations

from pathlib import Path

from oneshot_rlvr.organism.world import Exercise, make_world
from oneshot_rlvr.problems import Problem, write_jsonl


def as_problem(exercise: Exercise, set_name: str, number: int) -> Problem:
    """An exercise as a problem, its worked solution included."""
    return Problem(
        id=f"{set_name.removeprefix('suite-')}-{number:03d}",
        question=exercise.question,
        answer=str(exercise.answer),
        source="organism",
        category=exercise.family,
        level=str(len(exercise.steps)),
        solution=" ".join(f"{step}." for step in exercise.steps),
    )


def write_sets(folder: Path) -> None:
    """Write every set of the world (seed 0) as `folder/NAME.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, exercises in make_world(0).items():
        write_jsonl((as_problem(exercise, name, i) for i, exercise in enumerate(exercises)), folder / f"{name}.jsonl")
