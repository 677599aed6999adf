"""Start a run folder or come back to one: what `oneshot train` does around the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

import oneshot_rlvr.selectors  # noqa: F401 - their reward makes itself known
from oneshot_rlvr.analysis import Watch
from oneshot_rlvr.commands.doctor import said
from oneshot_rlvr.commands.terminal import plain
from oneshot_rlvr.config import Config, build, flatten
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import Sampling, make_validator
from oneshot_rlvr.grading import Reward
from oneshot_rlvr.grading.audit import audit_golds, summary
from oneshot_rlvr.policy.gguf import origin
from oneshot_rlvr.problems import Problem, find_problems, get_template
from oneshot_rlvr.runs import Run
from oneshot_rlvr.runs.environment import environment
from oneshot_rlvr.runs.loggers import check_loggers
from oneshot_rlvr.training import prepare, train
from oneshot_rlvr.training.loop import OnStep
from oneshot_rlvr.training.prepare import Validate


def chosen_problems(config: Config) -> list[Problem]:
    """The configured problems.

    Raises:
        OneshotError: an unusable file, or an id that is not in it.
    """
    return only(find_problems(config.data.problems, config.data.skip_bad_rows), config)


def only(problems: list[Problem], config: Config) -> list[Problem]:
    """Those of the problems whose ids are configured; all if none is.

    Raises:
        OneshotError: an id that is not among them.
    """
    if not config.data.only:
        return problems
    known = {problem.id: problem for problem in problems}
    for wanted in config.data.only:
        if wanted not in known:
            raise OneshotError(
                f"no problem {wanted!r} in it", where=config.data.problems, fix="`oneshot problems` lists ids."
            )
    return [known[wanted] for wanted in config.data.only]


def one_problem(question: str | None, answer: str | None, file: str | None) -> list[Problem] | None:
    """The user's own problem from the command line; None when there is none.

    Raises:
        OneshotError: only one of the two is given, or a problem file besides.
    """
    if question is None and answer is None:
        return None
    if question is None or answer is None or not question.strip() or not answer.strip():
        raise OneshotError(
            "--question and --answer go together and are not empty", fix="Give both, or --problems FILE."
        )
    if file is not None:
        raise OneshotError("--problems and --question were both given", fix="Give one of them.")
    return [Problem(id="mine", question=question, answer=answer, source="command line")]


def start(
    run: Run,
    config: Config,
    sources: Mapping[str, str],
    problems: Sequence[Problem],
    on_step: OnStep | None = None,
    reward: Reward | None = None,
) -> None:
    """Begin a run in an empty folder and train it to its end; `reward` stands in for the configured one.

    Everything that can be wrong is found before the folder says that a run has started.

    Raises:
        OneshotError: the folder holds a run already or is in use, or something in the configuration cannot be used.
        Interrupted: stopped by the user; `resume` goes on.
    """
    existed = run.path.exists()
    if run.started:
        raise OneshotError(
            "this folder holds a run already",
            where=run.path,
            fix=f"Go on with --resume {run.path}, or give another --out.",
        )
    with run.locked():
        try:
            trainer = prepare(config, run, problems, reward=reward)
            validate = _validator(config)
        except BaseException:  # whatever it was, a run that never began leaves no folder
            if not existed:
                run.remove_if_empty()
            raise
        policy = trainer.models.policy
        if policy.why_plain:
            print(f"Prompts are not shared in the forward pass (slower, same result): {policy.why_plain}")
        run.write_problems(problems)
        for line in summary(audit_golds(problems, config.grading.timeout, config.grading.workers), len(problems)):
            print(plain(f"Note: {line}"))
        gguf = origin(config.model.path)
        about = environment(str(policy.device), torch.get_num_threads())
        run.write_environment(about | ({} if gguf is None else {"gguf": gguf}))
        run.write_config(config, sources)
        train(trainer, validate, on_step)


def resume(
    run: Run,
    steps: int | None = None,
    on_step: OnStep | None = None,
    reward: Reward | None = None,
    loggers: object = None,
) -> None:
    """Go on with a run from its newest checkpoint, to `steps` and with `loggers` if they are given.

    Raises:
        OneshotError: no run there, a damaged checkpoint, or a folder in use.
        Interrupted: stopped by the user again.
    """
    config, sources = run.config, run.sources
    with run.locked():
        given = {"run.steps": steps, "run.loggers": loggers}
        changed = {key: value for key, value in given.items() if value is not None}
        if changed:
            config = build(flatten(config.model_dump()) | changed, dict.fromkeys(changed, "--resume"))
            check_loggers(config.run.loggers)
            run.write_config(config, sources | dict.fromkeys(changed, "--resume"))
        run.drop_trainer_states(config.run.keep_trainer_states)  # a kill may have come between saving and dropping
        trainer = prepare(config, run, run.problems, reward=reward)
        train(trainer, _validator(config), on_step)


def watched(run: Run, say: Callable[[str], None], on_step: OnStep | None) -> OnStep:
    """Calls `on_step`, and says what the doctor newly finds on the way."""
    watch, unread = Watch(run), set[str]()

    def after(step: int, total: int, metrics: dict[str, float]) -> None:
        if on_step is not None:
            on_step(step, total, metrics)
        try:
            found = watch(step, metrics)
        except OneshotError as error:  # a damaged file of an earlier step ends no training
            found = []
            if str(error) not in unread:
                say(f"Step {step}: not diagnosed: {error}")
                unread.add(str(error))
        for finding in found:
            say(f"Step {step}: {said(finding)}")

    return after


def finish(
    run: Run,
    config: Config,
    sources: Mapping[str, str],
    problems: Sequence[Problem],
    on_step: OnStep | None = None,
    reward: Reward | None = None,
) -> None:
    """Train a run to its end: from the beginning, from where it was left, or not at all where it is finished.

    Raises:
        OneshotError: the folder holds a run of another configuration; or as `start` and `resume`.
    """
    if not run.started:
        start(run, config, sources, problems, on_step, reward)
        return
    if run.config != config or run.problems != list(problems):
        raise OneshotError(
            "this folder holds a run of another configuration", where=run.path, fix="Give another folder, or delete it."
        )
    resume(run, on_step=on_step, reward=reward)


def _validator(config: Config) -> Validate | None:
    if not config.run.validation or not config.run.validate_every:
        return None
    sampling = Sampling(
        samples=config.run.validation_samples,
        max_new_tokens=config.sampling.max_new_tokens,
        greedy=False,
        stop_ids=config.sampling.stop_ids,
        stop_strings=config.sampling.stop_strings,
    )
    problems, template = find_problems(config.run.validation), get_template(config.model.template)
    return make_validator(problems, template, sampling, config.grading.mode)
