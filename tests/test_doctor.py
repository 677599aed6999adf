"""The doctor: each rule on figures made by hand, a sabotaged run's command, and the cheap part while a run goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command import oneshot
from oneshot_rlvr.analysis import RULES, Watch, diagnose, examine
from oneshot_rlvr.analysis.case import Case
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import NotFinite, OneshotError
from oneshot_rlvr.problems import Problem
from oneshot_rlvr.runs import Run
from oneshot_rlvr.training import loop
from runs import tiny_run

SUM = Problem("sum", "What is 3 + 4?", "7", "test")
RIGHT, WRONG = r"3 + 4 = 7. The answer is \boxed{7}.", r"3 + 4 = 8. The answer is \boxed{8}."
Rows = list[dict[str, Any]]


def row(text: str = RIGHT, outcome: str = "correct", **changed: Any) -> dict[str, Any]:
    extracted = text.split("{")[1].split("}")[0] if "boxed{" in text else None
    usual = {"problem_id": "sum", "group": 0, "text": text, "finish": "stop", "tokens": 12, "outcome": outcome}
    return usual | {"extracted": extracted, "reward": float(outcome == "correct"), "advantage": 0.0} | changed


def several(share: float, count: int = 32, **changed: Any) -> Rows:
    """Right and wrong rollouts in groups of eight, no two texts alike."""
    right = [i % 8 < 8 * share for i in range(count)]
    texts = [f"{i}: {RIGHT if ok else WRONG.replace('8', str(8 + i % 5))}" for i, ok in enumerate(right)]
    return [
        row(text, "correct" if ok else "wrong", group=i // 8, **changed)
        for i, (text, ok) in enumerate(zip(texts, right, strict=True))
    ]


def made(shares: list[float], rows: Any = several, settings: tuple[str, ...] = (), **metrics: Any) -> Case:
    """A run whose answers were right this often; `metrics` are constants or a function of the step."""
    config, _ = resolve("grpo", "organism", ["batch.groups_per_step=4", *settings])
    by_step = {step: rows(share) for step, share in enumerate(shares, 1)}
    lines = []
    for step, share in enumerate(shares, 1):
        here = by_step[step]
        line: dict[str, float] = {
            "step": step,
            "outcome/correct": share,
            "outcome/no_answer": sum(r["outcome"] == "no_answer" for r in here) / len(here),
            "outcome/truncated": sum(r["outcome"] == "truncated" for r in here) / len(here),
            "group/sampled": 4.0,
            "group/zero_variance_fraction": float(len({r["reward"] for r in here}) == 1),
            "response/length_mean": 20.0,
            "response/boxed_fraction": sum("boxed{" in r["text"] for r in here) / len(here),
            "response/distinct_fraction": 1.0,
            "policy/entropy": 0.1 + 0.01 * (step % 3),
            "policy/kl": 0.01,
            "policy/sampler_gap": 1e-6,
            "answer/entropy": 1.0,
        }
        lines.append(line | {n.replace("__", "/"): v(step) if callable(v) else v for n, v in metrics.items()})
    return Case(config, [SUM], lines, by_step.__getitem__)


def first(case: Case) -> str | None:
    found = examine(case)
    return found[0].finding if found else None


RISING = [0.25, 0.25, 0.25, 0.375, 0.375, 0.375, 0.5, 0.5, 0.625, 0.75, 0.75, 0.875]
FLAT = [0.25, 0.375] * 12


def test_a_run_that_learns_has_no_finding():
    assert examine(made(RISING)) == []
    assert examine(made([*RISING, *[1.0] * 10])) == []  # solved by training, not before it


CASES: dict[str, Case] = {
    "sampler-apart": made(RISING, policy__sampler_gap=0.03),
    "unscorable": made(RISING, lambda share: several(share, reward=None)),
    "constant-reward": made(FLAT, lambda share: several(share, reward=1.0)),
    "prompt-reward": made(FLAT, lambda share: [r | {"reward": float(r["group"])} for r in several(share)]),
    "stop": made(
        FLAT, lambda share: [row("3 + 4", "no_answer")] * 32, ("sampling.stop_strings=['=']",), outcome__correct=0.0
    ),
    "truncated": made(
        FLAT, lambda share: [row("3 + 4", "truncated", finish="length", reward=0.0)] * 32, outcome__correct=0.0
    ),
    "template": made(FLAT, lambda share: [row(RIGHT, "no_answer")] * 32, ("model.template=r1",), outcome__correct=0.0),
    "no-box": made(FLAT, lambda share: [row(RIGHT, "no_answer")] * 32, outcome__correct=0.0),
    "no-variance-identical": made(
        FLAT, lambda share: [row(WRONG, "wrong")] * 32, ("sampling.temperature=0.02",), outcome__correct=0.0
    ),
    "wrong-gold": made([0.0] * 8, lambda share: [row(f"{i}: {WRONG}", "wrong") for i in range(32)]),
    "no-variance-solved": made([1.0] * 8),
    "no-variance-too-hard": made([0.0] * 8),
    "kl-dominates": made(FLAT, settings=("algorithm.kl_coefficient=10",)),
    "entropy-explosion": made(
        FLAT, settings=("algorithm.entropy_coefficient=1",), policy__entropy=lambda step: 0.1 * step
    ),
    "entropy-collapse": made(
        FLAT, settings=("algorithm.entropy_coefficient=-5",), policy__entropy=lambda step: 0.1 / step
    ),
    "format-hacking": made(
        [0.25] * 12, lambda share: [r | {"reward": 1.0 if i else 0.5} for i, r in enumerate(several(share))]
    ),
    "learning-rate-high": made([0.25, 0.5, 0.5, 0.25, 0.25, *[0.0] * 10], policy__entropy=lambda step: 0.1 * step),
    "learning-rate-low": made(FLAT, policy__kl=0.0),
    "memorised": made([*RISING, *[0.875] * 6], validation__avg=lambda step: 30.0 - step),
    "no-variance": made([0.5] * 24, group__zero_variance_fraction=1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_each_rule_is_the_first_to_name_what_it_is_for(name: str):
    finding = examine(CASES[name])[0]
    assert finding.finding == name
    assert len(finding.evidence["transcripts"]) <= 2
    assert finding.evidence.keys() - {"transcripts"}
    json.dumps(finding.as_json())


def test_every_rule_has_a_case_and_a_line_in_the_docs():
    names = [rule.name for rule in RULES]
    assert sorted(names) == sorted(CASES) == sorted(set(names))
    text = Path("docs/doctor.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in names)


def test_what_mends_itself_or_is_only_small_is_no_finding():
    silent = [[row(RIGHT, "no_answer", extracted=None)] * 32, several(0.25)]
    assert (
        first(made([0.0, *RISING], lambda share: silent[share > 0])) is None
    )  # it learnt to answer where it is asked to
    assert first(made(FLAT[:12])) is None  # too short to say that nothing moves
    assert first(made(FLAT, settings=("algorithm.kl_coefficient=0.01",))) is None
    assert first(made([0.5, 0.25] * 12, policy__entropy=lambda step: 0.1 - 0.003 * step)) is None
    assert first(made(RISING, policy__sampler_gap=0.02, policy__entropy=1.0)) is None
    assert first(made(RISING, validation__avg=lambda step: 30.0 - 0.2 * step)) is None
    assert first(made([*RISING, *[0.875] * 6], response__length_mean=lambda step: 20.0 - step)) == "memorised"


def test_a_moderate_kl_is_named_where_nothing_moves():
    held = ("algorithm.kl_coefficient=0.1",)
    assert first(made([0.25, 0.375] * 16, settings=held)) == "kl-dominates"
    assert first(made(FLAT[:20], settings=held)) is None  # too short to say


def test_a_timeout_is_shown():
    case = made(RISING, lambda share: [r | {"outcome": "timeout", "reward": 0.0} for r in several(share)])
    finding = examine(case)[0]
    assert (finding.finding, len(finding.evidence["transcripts"])) == ("unscorable", 2)


@pytest.mark.parametrize("steps", [0, 3])
def test_a_run_that_is_not_finite_is_no_healthy_one(steps: int, tmp_path, monkeypatch: pytest.MonkeyPatch):
    update = loop.update

    def breaks(models, experience, *rest):
        if len(Run(tmp_path / "run").metrics()) >= steps:
            raise NotFinite("loss", float("nan"))
        return update(models, experience, *rest)

    monkeypatch.setattr(loop, "update", breaks)
    with pytest.raises(OneshotError, match="loss"):
        tiny_run(tmp_path / "run", "run.steps=6", "run.save_every=6")
    run = Run(tmp_path / "run")
    finding = next(f for f in diagnose(run) if f.finding == "learning-rate-high")
    assert finding.step == steps + 1
    assert "nan" in finding.evidence["not finite"]
    monkeypatch.setattr(loop, "update", update)
    if steps == 0:
        assert oneshot("doctor", run.path)[0] == 1
    run.cut_after(0)  # as resuming does
    assert run.diverged is None


def test_supervised_runs_have_nothing_to_compare():
    assert examine(made([1.0] * 24, group__sampled=0.0)) == []


def test_the_command_names_the_cause_and_exits_with_1(tmp_path):
    run = tiny_run(tmp_path / "cut", "sampling.max_new_tokens=2")
    assert diagnose(run)[0].finding == "truncated"
    code, out, _ = oneshot("doctor", run.path)
    assert code == 1
    assert "Likeliest: truncated (error" in out
    assert "do: Responses are cut off before they answer: raise sampling.max_new_tokens." in out
    code, out, _ = oneshot("doctor", run.path, "--json")
    found = json.loads(out)[0]
    assert code == 1
    assert found.keys() == {"finding", "severity", "step", "evidence", "fix"}
    assert len(found["evidence"]["transcripts"]) == 2


def test_a_folder_that_is_no_run_is_refused_and_one_without_steps_says_so(tmp_path):
    assert oneshot("doctor", tmp_path)[0] == 2
    run = tiny_run(tmp_path / "run", "run.steps=1")
    run.metrics_path.unlink()
    code, out, _ = oneshot("doctor", run.path)
    assert (code, out.strip()) == (0, "No step is finished yet.")


def test_a_run_says_at_step_5_what_is_wrong_and_says_it_once(tmp_path):
    code, out, _ = oneshot(
        *("train", "--model", "tiny", "--steps", 11, "--out", tmp_path / "run", "--quiet"),
        *("--set", "sampling.max_new_tokens=1"),
    )
    assert code == 0
    assert out.count("Step 5: Likeliest: truncated") == 1
    assert out.count("truncated (error") == 1


def test_a_resumed_run_is_seen_from_its_first_step(tmp_path):
    run = tiny_run(tmp_path / "run")
    watch = Watch(run)
    for line in run.metrics()[6:]:
        watch(int(line["step"]), {name: value for name, value in line.items() if name != "step"})
    assert watch.metrics == run.metrics()


def test_rewards_that_are_not_meant_for_right_answers_are_not_called_hacked():
    unpaid = row(reward=0.0)
    wrong_paid = made([0.25] * 12, lambda share: [*(r | {"reward": 1.0} for r in several(share)), unpaid])
    assert first(wrong_paid) == "format-hacking"
    config = wrong_paid.config
    asked = config.algorithm.model_copy(update={"reward": "majority"})
    assert first(replace(wrong_paid, config=config.model_copy(update={"algorithm": asked}))) is None


def test_groups_that_a_collector_leaves_out_are_not_called_unscorable():
    left_out = [row(f"{i}: {WRONG}", "wrong", group=9, reward=None, extracted=str(i)) for i in range(32)]
    refills = ("algorithm.collector=refill",)
    assert first(made(RISING, lambda share: [*several(share), *left_out], refills)) is None
    silent = [row(f"{i}: {WRONG}", "wrong", group=i // 8, reward=None, extracted=str(i)) for i in range(32)]
    assert first(made([0.0] * 12, lambda share: silent)) == "unscorable"


@pytest.mark.parametrize("settings", [(), ("sampling.stop_strings=['=']",), ("model.template=r1",)])
def test_rollouts_that_are_gone_are_not_counted(settings):
    """A user may delete a damaged file; what is left says nothing of the run's beginning."""
    case = made([0.5] * 24, settings=settings, outcome__no_answer=0.4, response__boxed_fraction=0.5)
    examine(replace(case, read=lambda step: []))


def test_what_training_destroyed_was_not_cut_off_first():
    """A quarter truncated and half right for a while; then all runs on, nothing is right."""

    def rows(share: float) -> Rows:
        cut = [row("and", "truncated", finish="length", group=i // 8) for i in range(8 if share else 32)]
        return [*(several(share)[8:] if share else []), *cut]

    found = [
        f.finding for f in examine(made([0.5] * 10 + [0.0] * 14, rows, policy__entropy=lambda s: 0.1 + s // 11 * 6))
    ]
    assert found == ["learning-rate-high"]


def test_a_wrong_label_that_is_learnt_is_no_learning_rate_too_high():
    shares = [0.5] * 10 + [0.0] * 14
    case = made(shares, lambda share: [r | {"reward": 1.0 - r["reward"]} for r in several(share)])
    assert "learning-rate-high" in [f.finding for f in examine(case)]
    asked = case.config.algorithm.model_copy(update={"reward": "wrong_label"})
    assert examine(replace(case, config=case.config.model_copy(update={"algorithm": asked}))) == []


def test_a_gold_that_training_reaches_is_not_called_wrong():
    """The base agrees on another answer, and learns the gold; where validation falls meanwhile it is no gold."""
    shares = [0.0625, 0.125, 0.25, *[1.0] * 20]
    mostly = made(
        shares, lambda share: several(1.0) if share == 1.0 else [row(f"{i}: {WRONG}", "wrong") for i in range(32)]
    )
    assert "wrong-gold" not in [f.finding for f in examine(mostly)]
    falls = replace(mostly, metrics=[line | {"validation/x": 50.0 - line["step"]} for line in mostly.metrics])
    assert "wrong-gold" in [f.finding for f in examine(falls)]


@pytest.mark.parametrize(("size", "texts", "said"), [(2, 1, True), (2, 2, False), (64, 20, False), (64, 2, True)])
def test_groups_of_any_size_are_alike(size, texts, said):
    def rows(share: float) -> Rows:
        return [row(f"{i % texts}: {WRONG}", "wrong", group=i // size) for i in range(2 * size)]

    asked = (f"batch.group_size={size}", "sampling.temperature=0.1")
    found = [f.finding for f in examine(made([0.0] * 8, rows, asked))]
    assert ("no-variance-identical" in found) is said


def test_control_characters_of_a_model_do_not_reach_the_terminal(tmp_path):
    run = tiny_run(tmp_path / "run", "sampling.max_new_tokens=2", "run.steps=5")
    hostile = [r | {"text": "\x1b[2J[bold]"} for r in run.rollouts(1)]
    for step in run.rollout_steps():
        run.write_rollouts(step, hostile)
    out = oneshot("doctor", run.path)[1]
    assert r"'\x1b[2J[bold]'" in out
    assert "\x1b" not in out
    watch = Watch(run)
    assert next(f.finding for line in run.metrics() for f in watch(line["step"], line)) == "truncated"


def asked(case: Case, **algorithm: Any) -> Case:
    """The same run, of another algorithm."""
    changed = case.config.algorithm.model_copy(update=algorithm)
    return replace(case, config=case.config.model_copy(update={"algorithm": changed}))


@pytest.mark.parametrize("name", ["__main__:<lambda>", "mine:made.<locals>.reward", "mine:Judge.pay"])
def test_a_reward_whose_name_nobody_could_write_is_a_reward_of_ones_own(name):
    assert examine(asked(made(RISING), reward=name)) == []
    hacked = made([0.25] * 12, lambda share: [r | {"reward": 1.0} for r in several(share)] + [row(reward=0.0)])
    assert first(asked(hacked, reward=name)) == "format-hacking"


def judged(share: float) -> Rows:
    """Nothing is the gold; a judge of the user's own takes this share all the same."""
    rows = several(share)
    return [r | {"outcome": "wrong", "extracted": str(i % 7)} for i, r in enumerate(rows)]


def test_a_judge_that_takes_other_answers_than_the_gold_is_not_called_hacked():
    case = made([*RISING, *[0.875] * 4], judged, outcome__correct=0.0)
    assert {f.finding for f in examine(case)} >= {"format-hacking"}
    assert examine(asked(case, reward="logic:verifier")) == []
    settles = made([*RISING, *[1.0] * 8], judged, outcome__correct=lambda step: max(0.0, 0.25 - step / 20))
    assert examine(asked(settles, reward="logic:verifier")) == []
    assert examine(asked(case, reward="majority + overlong(cache=10)")) == []
    assert first(asked(case, reward="majority + accuracy")) == "format-hacking"


@pytest.mark.parametrize("changed", [{"advantage": "rent"}, {"advantage": "intuitor"}, {"reward": "majority"}])
def test_agreement_on_a_wrong_answer_is_what_was_asked_for(changed):
    case = made([0.25] * 8 + [0.0] * 12, policy__entropy=lambda step: 0.5 / step)
    assert {f.finding for f in examine(case)} >= {"entropy-collapse", "learning-rate-high"}
    assert examine(asked(case, **changed)) == []


def test_groups_of_one_are_trained_on():
    alone = made(
        RISING, lambda share: [r | {"group": i} for i, r in enumerate(several(share))], ("batch.group_size=1",)
    )
    assert examine(alone) == []


def test_a_hard_problem_that_pays_its_form_is_too_hard_and_soon_no_constant_reward():
    boxed = [row(f"{i}: {WRONG if i % 2 else 'none'}", "wrong", group=i // 8, extracted=str(i)) for i in range(32)]
    paid = made([0.0] * 24, lambda share: [r | {"reward": 0.5 * ("boxed" in r["text"])} for r in boxed])
    assert first(paid) == "no-variance-too-hard"
    minus = made([0.0] * 6, lambda share: [r | {"reward": -1.0} for r in boxed])
    assert first(minus) == "no-variance-too-hard"


def test_without_a_box_no_other_place_is_advised():
    rows = [row("The sum is 7.", "no_answer", extracted=None)] * 26 + several(1.0)[:6]
    found = [f.finding for f in examine(made([0.2] * 24, lambda share: rows))]
    assert "no-box" not in found


def test_a_run_whose_beginning_is_gone_is_not_said_to_have_begun_so():
    whole = made([1.0] * 70, group__zero_variance_fraction=1.0, policy__entropy=3.0)
    assert first(whole) == "no-variance-solved"
    assert examine(replace(whole, metrics=whole.metrics[60:])) == []


def test_evidence_shows_small_numbers_and_the_gold_that_is_meant():
    low = made(FLAT, settings=("optimizer.learning_rate=2e-7",), policy__kl=3e-7)
    (finding,) = examine(replace(low, config=low.config.model_copy()))
    assert finding.evidence["learning_rate"] == 2e-7
    other = Problem("other", "What is 1 + 1?", "two and a bit", "test")
    rows = [*several(0.5)[:16], *(r | {"problem_id": "other", "outcome": "unscorable"} for r in several(0.5)[:16])]
    case = replace(made([0.5] * 8, lambda share: rows), problems=[SUM, other])
    assert examine(case)[0].evidence["gold"] == "two and a bit"


def test_a_file_that_cannot_be_read_is_said_once_and_a_run_goes_on(tmp_path):
    run = tiny_run(tmp_path / "run", "run.steps=2")
    run._rollouts_path(1).write_bytes(b"damaged")
    out = oneshot("train", "--resume", run.path, "--steps", 12, "--quiet")
    assert out[0] == 0
    assert (out[1] + out[2]).count("not diagnosed") == 1
