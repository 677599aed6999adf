"""Hostile answers, and the worker pool: time, memory, threads, asyncio, interruptions, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from hostile import hostile_responses
from oneshot_rlvr.grading import MODES, Grader
from oneshot_rlvr.grading.pool import Question, WorkerPool
from oneshot_rlvr.grading.worker import MEMORY_LIMIT

SLOW = r"\int_0^\infty \frac{\sin(\tan x)}{x^{7/3}} dx"  # sympy does not end, and no cap forbids it


class Watch:
    """The largest memory of any worker, and the longest time for which a thread of the parent got no turn."""

    def __init__(self, grader: Grader) -> None:
        self.grader, self.memory, self.stall, self._stop = grader, 0, 0.0, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self.thread.join()

    def _run(self) -> None:
        before = time.perf_counter()
        while not self._stop.wait(0.02):
            now = time.perf_counter()
            self.stall, before = max(self.stall, now - before), now
            for pid in self.grader.pool.pids():
                try:
                    self.memory = max(self.memory, psutil.Process(pid).memory_info().rss)
                except psutil.Error:
                    continue
            before = time.perf_counter()


def gone(pids: list[int]) -> bool:
    return not [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


def test_hostile_answers(tmp_path):
    canaries = tmp_path / "canaries"
    canaries.mkdir()
    cases = hostile_responses(canaries)
    assert len(cases) > 150
    with Grader(timeout=1.5, workers=2) as grader, Watch(grader) as watch:
        grades = grader.grade_many([text for _, text, _ in cases], [gold for *_, gold in cases])
        pids = grader.pool.pids()
    named = list(zip((name for name, *_ in cases), grades, strict=True))
    assert not [name for name, grade in named if grade.outcome == "correct"]
    assert not [name for name, grade in named if grade.seconds > 2]
    assert sum(grade.outcome == "timeout" for grade in grades) < 8  # the caps decide first
    assert list(canaries.iterdir()) == []
    assert watch.stall < 2.0
    assert watch.memory < MEMORY_LIMIT
    assert gone(pids)


RIGHT = {"boxed_space", "uni_minus", "uni_sq", "uni_thinsp"}  # these are equal to their golds, by written policy


def test_hostile_answers_of_peers(shared_data):
    cases = [json.loads(line) for line in (shared_data / "grader_cases" / "adversarial.jsonl").read_text().splitlines()]
    with Grader() as grader:
        grades = grader.grade_many([case["pred"] for case in cases], [case["gold"] for case in cases])
    assert {case["name"] for case, grade in zip(cases, grades, strict=True) if grade.outcome == "correct"} == RIGHT
    assert max(grade.seconds for grade in grades) < 3.5


PARTS = [
    *" .1(a{$-\\",
    "a ",
    "1,",
    r"\text{",
    r"\boxed{",
    r"\frac",
    r"\sin x",
    "x=",
    "[1,2)",
    r"\left(",
    "1&2",
    "</think>",
    "A. B. ",
]


@pytest.mark.parametrize("mode", ["default", "qwen-eval", "released"])
@pytest.mark.parametrize(
    "part", [r"A) \frac{d", r"\text{", "x, ", r"|x|<\pm ", "½", r"\frac{1}{2}e3", r"\text{for all} "]
)
def test_a_thousand_characters_of_anything_are_decided_or_left_to_a_worker(mode, part):
    started = time.perf_counter()
    MODES[mode].decide((part * 500)[:999], "(1,2)", None)
    assert time.perf_counter() - started < 2  # milliseconds; a safety limit


@pytest.mark.parametrize("mode", ["default", "qwen-eval", "released"])
def test_a_million_characters_take_no_time(mode):
    """As a response, inside its box, as a bare answer and as a gold; the last is kept from the quadratic patterns."""
    with Grader(mode=mode, workers=1) as grader, Grader(mode=mode, workers=1, answers=True) as bare:
        for part in PARTS:
            text = part * (10**6 // len(part))
            for graded, answer, gold in [
                (grader, text, "3"),
                (grader, rf"\boxed{{{text}}}", "3"),
                (bare, text, "3"),
                (bare, "3", text),
            ]:
                started = time.perf_counter()
                assert graded.grade_many([answer], [gold])[0].outcome != "correct"
                assert time.perf_counter() - started < 5, part  # a tenth of this is usual; 10 s to hours before


def test_a_worker_that_is_late_or_dies_is_replaced_and_results_keep_their_order():
    with Grader(answers=True, timeout=1.0, workers=2) as grader:
        texts = ["x+1", SLOW, "2+x", SLOW + "+1", "x+x"]
        golds = ["1+x", "7", "x+2", "7", "3x"]
        outcomes = [grade.outcome for grade in grader.grade_many(texts, golds)]
        assert outcomes == ["correct", "timeout", "correct", "timeout", "wrong"]
        for pid in grader.pool.pids():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        assert grader.grade_many(["y+1"], ["1+y"])[0].outcome == "correct"


def test_a_worker_cannot_take_more_memory_than_its_limit(monkeypatch):
    pool = WorkerPool(timeout=20.0, size=1)
    try:
        assert pool.ask([Question("default", "x+1", "1+x")])[0].equal
        limit = psutil.Process(pool.pids()[0]).rlimit(psutil.RLIMIT_AS)
        assert limit == (MEMORY_LIMIT, MEMORY_LIMIT)
    finally:
        pool.close()


def test_threads_share_a_grader():
    with Grader(answers=True) as grader:
        found: dict[int, list[str]] = {}

        def work(k: int) -> None:
            texts = [f"x^{n}+{k}" for n in range(2, 6)]
            found[k] = [g.outcome for g in grader.grade_many(texts, [f"{k}+x^{n}" for n in range(2, 6)])]

        threads = [threading.Thread(target=work, args=(k,)) for k in range(2, 8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {k: ["correct"] * 4 for k in range(2, 8)}
        assert len(grader.pool.pids()) <= grader.pool.size


def test_asyncio_is_not_held_up():
    async def beat() -> float:
        longest, before = 0.0, time.perf_counter()
        for _ in range(40):
            await asyncio.sleep(0.02)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
        return longest

    async def both(grader: Grader) -> tuple[list, float]:
        grades, longest = await asyncio.gather(grader.agrade_many([SLOW], ["3"]), beat())
        return grades, longest

    with Grader(answers=True, timeout=0.5, workers=1) as grader:
        grader.grade_many(["x+1"], ["1+x"])  # started
        grades, longest = asyncio.run(both(grader))
    assert grades[0].outcome == "timeout"
    assert longest < 0.4


def test_a_forked_process_gets_workers_of_its_own():
    with Grader(answers=True, workers=1) as grader:
        assert grader.grade_many(["x+1"], ["1+x"])[0].outcome == "correct"
        pids = grader.pool.pids()
        child = os.fork()
        if child == 0:
            right = grader.grade_many(["x+2"], ["2+x"])[0].outcome == "correct"
            own = set(grader.pool.pids()).isdisjoint(pids)
            grader.close()
            os._exit(0 if right and own else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert grader.pool.pids() == pids
        assert grader.grade_many(["x+3"], ["3+x"])[0].outcome == "correct"


BUSY = f"""
import signal, sys
from oneshot_rlvr.grading import MODES, Grader
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
grader = Grader(answers=True, timeout=30.0, workers=2)
grader.grade_many(["x+1", "x+2"], ["1+x", "2+x"])
print(*grader.pool.pids(), flush=True)
grader.grade_many([r"{SLOW}", r"{SLOW}+1"], ["3", "3"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_no_process(number):
    child = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout
    pids = [int(pid) for pid in child.stdout.readline().split()]
    assert pids
    time.sleep(0.5)
    child.send_signal(number)
    child.communicate(timeout=10)
    time.sleep(0.0 if number == signal.SIGINT else 0.5)
    assert gone(pids)


def test_a_grader_that_nobody_closed_ends_with_the_program():
    code = BUSY.replace("grader.grade_many([r", "sys.exit(0)\ngrader.grade_many([r")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert gone([int(pid) for pid in done.stdout.split()])
