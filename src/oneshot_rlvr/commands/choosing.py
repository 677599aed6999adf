"""What `oneshot select` and `oneshot problems build` share: candidates by name, and files of the chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import write_atomically
from oneshot_rlvr.grading.rewards import wrong_answer
from oneshot_rlvr.problems import Problem, encode_prompt, find_problems, get_template, named_sets, to_jsonl
from oneshot_rlvr.problems.adapters import SCORED
from oneshot_rlvr.problems.verl import write_parquet
from oneshot_rlvr.runs import Run
from oneshot_rlvr.selection import Candidates, Ranked, read_history
from oneshot_rlvr.selection.probes import read_probes


def candidates_of(pool: str | None, history: str | Path | None, probes: Path | None = None) -> Candidates:
    """Candidates of a pool, a history, or both. A run, and a JSON history, may stand where a pool does.

    `probes` is a file of `oneshot select probe`.

    Raises:
        OneshotError: neither can be read, or they do not fit each other.
    """
    if pool is not None and history is None and _is_history(pool):
        pool, history = None, pool
    problems = None if pool is None else find_problems(pool, unlabelled=True)
    if problems is None and history is not None and (run := Run(Path(history))).started:
        problems = run.problems
    seen = None if history is None else read_history(history)
    found = Candidates.of(problems, seen, history or "")
    return found if probes is None else replace(found, probes=read_probes(probes).probes)


def _is_history(pool: str) -> bool:
    """Whether what stands where a pool does is a run, dumps, or a JSON history; a known name is a pool."""
    return pool not in named_sets() and (Path(pool).is_dir() or Path(pool).suffix == ".json")


def write_chosen(path: Path, candidates: Candidates, indices: Sequence[int], repeat: int = 1) -> list[Problem]:
    """The problems at places of the pool, in this order, each `repeat` times, as verl's parquet or as jsonl.

    Raises:
        OneshotError: only a history was given, another kind of file, or a problem without an answer.
    """
    known = dict(zip(candidates.indices, candidates.texts(), strict=True))
    chosen = [known[index] for index in indices]
    if path.suffix not in (".parquet", ".jsonl"):
        raise OneshotError("not a kind of file that is written", where=path, fix="End it in .parquet or .jsonl.")
    empty = [problem.id for problem in chosen if not problem.answer.strip()]
    if empty:
        raise OneshotError(f"{empty[0]!r} has no answer to train on", where=path, fix="Choose fewer, or others.")
    if path.suffix == ".parquet":
        places = {problem.id: index for problem, index in zip(chosen, indices, strict=True)}
        write_parquet(path, [problem for problem in chosen for _ in range(repeat)], places)
    else:
        write_atomically(path, to_jsonl(chosen))
    return chosen


def short_enough(candidates: Candidates, indices: Sequence[int], longest: int, model: str) -> list[int]:
    """Those of the places whose prompts have at most `longest` tokens in a model's template; says how many have more.

    Raises:
        OneshotError: no such model, or none is short enough.
    """
    from oneshot_rlvr.config import resolve
    from oneshot_rlvr.config.known import model_folder
    from oneshot_rlvr.policy.model import as_the_model_asks, load_tokenizer

    config = as_the_model_asks(*resolve("grpo", model, []))[0].model
    template, tokenizer = get_template(config.template), load_tokenizer(model_folder(config.path), False)
    known = dict(zip(candidates.indices, candidates.texts(), strict=True))
    kept = [i for i in indices if len(encode_prompt(template, known[i].question, tokenizer)) <= longest]
    if left := len(indices) - len(kept):
        print(f"{left} of {len(indices)} problems left out: their prompts have more than {longest} tokens")
    if not kept:
        raise OneshotError("no problem is short enough", where="--longest", fix="Allow longer ones.")
    return kept


def with_label(candidates: Candidates, indices: Sequence[int], label: str) -> Candidates:
    """The candidates with a wrong gold at some places, of a kind of `wrong_label`'s or any text.

    Raises:
        OneshotError: a gold that nothing misses nearly, or a label that is right.
    """

    def mislabelled(problem: Problem) -> Problem:
        wrong = wrong_answer(problem, label)
        return replace(problem, answer=wrong, extra={**_unscored(problem), "right_answer": problem.answer})

    return _changed(candidates, indices, mislabelled)


def asked_instead(
    candidates: Candidates, indices: Sequence[int], question: str | None, answer: str | None
) -> Candidates:
    """The candidates with another question, gold, or both, at one place (the paper's simplified pi_1).

    Raises:
        OneshotError: several places, or nothing to ask.
    """
    if len(indices) != 1 or "" in ((question or "?").strip(), (answer or "?").strip()):
        raise OneshotError("one question is asked instead of one problem", where="--question", fix="Pick one problem.")
    return _changed(
        candidates,
        indices,
        lambda p: replace(p, question=question or p.question, answer=answer or p.answer, extra=_unscored(p)),
    )


def _unscored(problem: Problem) -> dict[str, Any]:
    """What a problem holds besides, but for the scorer that knows its own question and answer alone."""
    return {key: value for key, value in problem.extra.items() if key != SCORED}


def _changed(candidates: Candidates, indices: Sequence[int], change: Callable[[Problem], Problem]) -> Candidates:
    places = set(indices)
    pairs = zip(candidates.indices, candidates.texts(), strict=True)
    return replace(candidates, problems=tuple(change(p) if index in places else p for index, p in pairs))


def curves_page(path: Path, candidates: Candidates, ranking: Sequence[Ranked], by: str) -> None:
    """One figure of each chosen problem's accuracy at its visits, beside the mean of all."""
    from oneshot_rlvr.reporting.curves import write_curves

    curves = [[visit.accuracy for visit in seen] for seen in candidates.history()]
    by_index = dict(zip(candidates.indices, curves, strict=True))
    chosen = [(f"pi_{row.rank}: {row.id}", by_index[row.index]) for row in ranking]
    write_curves(path, f"{len(ranking)} of {len(curves)} problems by {by}", chosen, curves)
