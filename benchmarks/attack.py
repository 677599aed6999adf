"""A fault-injection campaign: kills, damaged files, absurd settings and inputs.

    python benchmarks/attack.py --json results/attack.json            # ten to twenty minutes on two cores

- **Kills**: SIGKILL of training, resuming, evaluation, regrading, pretraining, the demo and the report, at a random
  file operation or a random time, up to twice in a row; then the command is given again, and what it leaves is
  compared with what an uninterrupted one leaves: contents, names, processes.
- **Faults**: one file of an evaluated run is cut, has a bit flipped, a value changed or of another type, or is emptied
  or deleted; then the run is reported, regraded and resumed. Each either says so in one line, or gives what the whole
  run gives.
- **Settings and inputs**: a random key or file with an absurd value. Each is refused in one line, or works.

Counted: tracebacks, silent differences, commands that take more than 30 s, stray files, orphaned processes. Commands
run in forked processes of one program that has everything imported, so that a thousand of them fit into minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from forked import LIMIT, Ended, command
from oneshot_rlvr.commands import demo_stages, organism_card
from oneshot_rlvr.config import Config, flatten
from oneshot_rlvr.files import read_rows, write_rows
from oneshot_rlvr.problems import find_problems
from oneshot_rlvr.runs import Run
from oneshot_rlvr.runs.environment import commit
from oneshot_rlvr.sealing import KEY

MEASURED = ("time/", "memory/", "tokens/per_second", KEY)
FEW = ["--suite", "organism:numbers", "--limit", "4", "--samples", "2", "--max-new-tokens", "8", "--quiet"]
TINY = ["--model", "tiny", "--set", "run.save_every=2", "--quiet"]
MINE = ["--question", "What is 3 + 4?", "--answer", "7"]  # a plain number: no grading worker needs to start


# What a folder holds


def snapshot(folder: Path) -> dict[str, str]:
    """Every file's name with a digest of what counts in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()[:16]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def _content(path: Path) -> bytes:
    try:
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            kept = [{k: v for k, v in line.items() if not k.startswith(MEASURED)} for line in lines]
            return json.dumps(kept).encode()
        if path.suffix == ".zst":
            return zstandard.decompress(path.read_bytes())
        if path.name == "pretraining.json":
            return json.dumps(json.loads(path.read_text()) | {"seconds": 0}).encode()
        if path.name in ("README.md", "manifest.json"):  # they hold those seconds, and a checksum of them
            return re.sub(rb"seconds \| .*|\"(?:pretraining.json|README.md)\".*", b"", path.read_bytes())
    except (ValueError, AttributeError, zstandard.ZstdError):  # damaged, by this program
        pass
    return path.read_bytes()


@dataclass
class Table:
    """What was done and what went wrong, by group, with examples of the latter."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, group: str, *what: str) -> None:
        self.counts.setdefault(group, Counter()).update(what)

    def wrong(self, group: str, what: str, **detail: Any) -> None:
        self.add(group, what)
        self.examples.append({"group": group, "what": what, **detail})
        print(f"{group}: {what} {detail}", flush=True)

    def judge(self, group: str, ended: Ended, **detail: Any) -> bool:
        """Count a command's end; whether it was one of those that are allowed."""
        if ended.orphans:
            self.wrong(group, "orphan", **detail)
        if "Traceback (most recent call last)" in ended.said or ended.code not in (0, 2, None):
            self.wrong(group, "traceback", said=ended.said[-700:], **detail)
            return False
        if ended.seconds >= LIMIT:
            self.wrong(group, "hang", **detail)
            return False
        if ended.code == 2 and ended.said.count("error: ") == 0 and "Error" not in ended.said:
            self.wrong(group, "no message", said=ended.said[-300:], **detail)
        return True


# Kills


@dataclass
class Scenario:
    """A command that works on `work/it` (and beside it), in a folder that begins as a copy of `base`."""

    name: str
    arguments: Callable[[Path], list[str]]
    kills: int
    base: Path | None = None


def begin(scenario: Scenario, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    if scenario.base is None:
        work.mkdir(parents=True)
    else:
        shutil.copytree(scenario.base, work)


def finished(scenario: Scenario, work: Path, limit: float = LIMIT) -> tuple[Ended, dict[str, str]]:
    ended = command(scenario.arguments(work), work, limit=limit)
    return ended, snapshot(work)


def kills(scenario: Scenario, work: Path, rng: random.Random, table: Table) -> None:
    """Kill, perhaps kill again, finish, compare; until the scenario's kills are spent."""
    begin(scenario, work)
    first, reference = finished(scenario, work, 4 * LIMIT)
    begin(scenario, work)
    again, second = finished(scenario, work, 4 * LIMIT)
    assert first.code == again.code == 0, (scenario.name, first.said[-2000:])
    varies = {name for name in reference if reference[name] != second.get(name)}  # times, on their own
    spent = 0
    while spent < scenario.kills:
        begin(scenario, work)
        how: dict[str, Any] = {}
        for _ in range(rng.choice((1, 1, 2))):
            how = {"operation": rng.randint(1, max(first.operations, 1))}
            if rng.random() < 0.4:
                how = {"after": rng.uniform(0.02, first.seconds)}
            ended = command(scenario.arguments(work), work, **how)
            spent += 1
            table.add(scenario.name, "kills")
            table.judge(scenario.name, ended, **how)
        ended, found = finished(scenario, work)
        if not table.judge(scenario.name, ended, **how):
            continue
        if ended.code != 0:
            table.wrong(scenario.name, "cannot go on", said=ended.said[-400:], **how)
        elif extra := sorted(set(found) ^ set(reference)):
            table.wrong(scenario.name, "stray files", files=extra[:6], **how)
        elif differ := [name for name in reference if name not in varies and found[name] != reference[name]]:
            table.wrong(scenario.name, "silent difference", files=differ[:6], **how)


def scenarios(home: Path) -> list[Scenario]:
    """The commands, on folders that uninterrupted ones made."""
    trained, evaluated = home / "trained", home / "evaluated"
    for folder in (trained, evaluated):
        folder.mkdir()
    made = command(["train", "grpo", "--steps", "2", "--out", "it", *TINY, *MINE], trained)
    shutil.copytree(trained / "it", evaluated / "it")
    also = command(["eval", "it", "--workers", "1", *FEW], evaluated)
    assert made.code == also.code == 0, made.said + also.said

    def train(work: Path) -> list[str]:
        if Run(work / "it").started:
            return ["train", "--resume", "it", "--quiet"]
        return ["train", "grpo", "--steps", "5", "--out", "it", *TINY, *MINE]

    pretrain = ["pretrain", "--preset", "tiny", "--steps", "6", "--out", "it", "--quiet"]
    demo = ["demo", "--model", "tiny", "--out", "it", "--set", "run.steps=2", "--quiet"]
    return [
        Scenario("train", train, 80),
        Scenario("resume", lambda _: ["train", "--resume", "it", "--steps", "6", "--quiet"], 60, trained),
        Scenario("eval", lambda _: ["eval", "it", "--workers", "1", *FEW], 60, trained),
        Scenario("eval, two workers", lambda _: ["eval", "it", "--workers", "2", *FEW], 6, trained),
        Scenario("regrade", lambda _: ["eval", "regrade", "it", "--mode", "released"], 40, evaluated),
        Scenario("report", lambda _: ["report", "it"], 40, evaluated),
        Scenario("pretrain", lambda _: pretrain, 12),
        Scenario("demo", lambda _: demo, 8),
    ]


# Faults in files


def damaged(path: Path, rng: random.Random) -> str:
    """Do one thing to a file, and say what."""
    data = path.read_bytes()
    kinds = ["cut", "bit", "empty", "delete"] + ["value", "value", "value", "type"] * (path.suffix in STRUCTURED)
    kind = rng.choice(kinds)
    if kind == "delete":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(data[: rng.randrange(len(data))] if data else b"")
    elif kind == "bit" and data:
        place = rng.randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :])
    elif kind in ("value", "type"):
        return f"{kind} at {_edited(path, rng, kind)}"
    return kind


STRUCTURED = (".json", ".jsonl", ".zst")


def _edited(path: Path, rng: random.Random, kind: str) -> str:
    """Change one leaf of a JSON file, or of a file of rows."""
    if path.suffix == ".zst":
        whole: Any = read_rows(path, "")
    elif path.suffix == ".jsonl":
        whole = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        whole = json.loads(path.read_text())
    part, holder, place = whole, whole, []
    while isinstance(part, dict | list) and part:
        key = rng.choice(list(part) if isinstance(part, dict) else range(len(part)))
        place.append(key)
        holder, part = part, part[key]
    if not place:
        return "nothing"
    holder[place[-1]] = _another(part, rng) if kind == "value" else rng.choice([None, [], {}, "x", -1, True, 1e308])
    if path.suffix == ".zst":
        write_rows(path, whole)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in whole))
    else:
        path.write_text(json.dumps(whole))
    return ".".join(map(str, place))


def _another(value: Any, rng: random.Random) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + rng.choice([-1, 1, 7])
        case float():
            return value * rng.choice([0.5, 1.01, -1]) + rng.choice([0, 1])
        case str():
            return value + "x" if rng.random() < 0.5 or not value else value[:-1]
    return 1


def faults(number: int, home: Path, work: Path, rng: random.Random, table: Table) -> None:
    """One damaged file at a time in an evaluated run; three commands on it."""
    whole = home / "evaluated"
    commands = [["report", "it"], ["eval", "regrade", "it", "--mode", "released"]]
    commands.append(["train", "--resume", "it", "--steps", "3", "--quiet"])
    reference = []
    for arguments in commands:
        scenario = Scenario("", lambda _, a=arguments: a, 0, whole)
        begin(scenario, work)
        ended, first = finished(scenario, work)
        begin(scenario, work)
        _, second = finished(scenario, work)
        assert ended.code == 0, ended.said
        before = snapshot(whole)
        made = {name: value for name, value in first.items() if before.get(name) != value and second[name] == value}
        reference.append((arguments, made, before))
    paths = [path for path in sorted(whole.rglob("*")) if path.is_file() and path.name != ".lock"]
    for _ in range(number):
        arguments, made, before = rng.choice(reference)
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(whole, work)
        path = work / rng.choice(paths).relative_to(whole)
        name = str(path.relative_to(work))
        what = damaged(path, rng)
        group = f"fault: {arguments[0]}{' regrade' * (arguments[0] == 'eval')}"
        table.add(group, "faults")
        ended = command(arguments, work)
        if not table.judge(group, ended, file=name, fault=what) or ended.code != 0:
            table.add(group, "refused" if ended.code == 2 else "ended otherwise")
            continue
        found = snapshot(work)
        differ = [made_name for made_name, value in made.items() if found.get(made_name) != value and made_name != name]
        if differ and path.name.split(".")[0] not in ended.said:
            table.wrong(group, "silent difference", file=name, fault=what, differs=differ[:4])
        strays = [found_name for found_name in found if found_name not in before and found_name not in made]
        if strays and not set(strays) <= {n for n in found if n.startswith("it/")}:
            table.wrong(group, "stray files", file=name, fault=what, strays=strays[:4])
        table.add(group, "the same result")


# Settings and inputs


ABSURD = [
    "", " ", "nan", "inf", "-inf", "-1", "0", "1e308", "1e-308", "-1e308", "1e30", "1" + "0" * 30, "9" * 5000, "0x10",
    "null", "[]", "{}", "[[]]", "true", "yes", "!!python/object/apply:os.system [ls]", "!!binary aGk=", "2024-01-01",
    "2024-01-01T00:00:00Z", "&a [*a]", "a" * 300, "a" * 100_000, "é☃\U0001f600", "../..", "/dev/zero", "/dev/null",
    "meta", "mps", "cuda:99", "x:y", "os:system", "accuracy(x=1)", "accuracy +", "(" * 200, "[" * 5000, "{a: " * 500,
    "1,2,3", "'", '"', "`", "$(ls)", "%s%s", "\\", "-", "--", "=", "None", "0.0000001", "1_000", "1:30", "~", "*x",
    ">", "|",
]  # fmt: skip


def settings_and_inputs(number: int, work: Path, rng: random.Random, table: Table) -> None:
    """Random keys with absurd values, and absurd files where files are asked for."""
    keys = [key for key in flatten(Config().model_dump()) if not key.startswith("run.steps")]
    for _ in range(number):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / "it").write_bytes(_garbage(rng))
        (work / "it.jsonl").write_bytes(_garbage(rng))
        (work / "it.yaml").write_bytes(_garbage(rng))
        (work / "it.parquet").write_bytes(_garbage(rng))
        tiny = ["--model", "tiny", "--steps", "1", "--out", "out", "--quiet"]
        absurd = rng.choice(ABSURD)
        arguments = rng.choice(
            [
                ["train", *tiny, "--set", f"{rng.choice(keys)}={absurd}"],
                ["train", *tiny, "--set", f"{rng.choice(keys)}={absurd}"],
                ["train", *tiny, "--set", f"{rng.choice(keys)}={absurd}"],
                ["train", *tiny, "--set", absurd],
                ["train", *tiny, "--problems", rng.choice(["it", "it.jsonl", "it.parquet", absurd])],
                ["train", rng.choice(["it.yaml", absurd or "x"]), *tiny],
                ["train", *tiny, "--question", absurd, "--answer", rng.choice(ABSURD)],
                ["train", *tiny, "--reward", absurd],
                ["grade", rng.choice(["it", "it.jsonl", "it.parquet", absurd])],
                ["eval", rng.choice(["it", "tiny", absurd]), "--suite", rng.choice(["it.jsonl", absurd])],
                ["eval", "tiny", "--limit", "1", "--samples", absurd, "--suite", "organism:numbers"],
                ["report", absurd, "--out", "page.html"],
                ["select", rng.choice(["it", absurd])],
                ["plan", "--run", rng.choice(["it", absurd])],
                ["problems", rng.choice(["it", "it.jsonl", "it.parquet", absurd])],
                ["pretrain", "--preset", absurd, "--steps", "1", "--out", "out"],
            ]
        )
        arguments = [argument.replace("\x00", "") for argument in arguments]
        table.add("settings and inputs", "cases")
        ended = command(arguments, work)
        table.judge("settings and inputs", ended, arguments=[argument[:60] for argument in arguments])
        if strays := [path.name for path in work.rglob("*.tmp")]:
            table.wrong("settings and inputs", "stray files", files=strays)


def _garbage(rng: random.Random) -> bytes:
    return rng.choice(GARBAGE) if rng.random() < 0.9 else rng.randbytes(500)


GARBAGE = [
    b"", b"\x00" * 100, b"\xff\xfe\x00", b"[" * 100_000, b"{" * 1000, b"null", b"{}", b"[]\n[]", b"PAR1garbagePAR1",
    b'{"question": 1}', b'{"question": "q"}', b'{"question": "q", "answer": null}', b"a: !!python/name:os.system",
    b'{"question": "q", "answer": ' + b"9" * 100_000 + b"}", b'{"question": "\\ud800", "answer": "1"}', b"a: &a [*a]",
    b"- " * 5000, b"a: " * 2000, b"\xef\xbb\xbf{}", b'{"pred": "\\\\boxed{' + b"(" * 50_000 + b'}", "gold": "1"}',
]  # fmt: skip


def preload() -> None:
    """Import everything before the first fork."""
    import oneshot_rlvr.commands.app
    import oneshot_rlvr.commands.session
    import oneshot_rlvr.evaluation.sweep
    import oneshot_rlvr.organism.pretrain
    import oneshot_rlvr.reporting  # noqa: F401

    demo_stages.SUITE_PROBLEMS = 2  # pyrefly: ignore[bad-assignment]
    organism_card.card_sets = lambda: {"numbers": find_problems("organism:numbers")}  # a short card


def inputs_and_faults(home: Path, work: Path, scale: float, rng: random.Random) -> Table:
    """The half of the campaign that damages what commands read."""
    table = Table()
    settings_and_inputs(round(500 * scale), work, rng, table)
    faults(round(1000 * scale), home, work, rng, table)
    return table


def all_kills(home: Path, work: Path, scale: float, rng: random.Random) -> Table:
    """The half that kills them."""
    table = Table()
    for scenario in scenarios(home):
        scenario.kills = max(1, round(scenario.kills * scale))
        kills(scenario, work, rng, table)
    return table


def in_a_process(half: Callable[..., Table], *arguments: Any) -> Callable[[], Table]:
    """Start one half in a process of its own; the result waits for it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            found = half(*arguments)
            with os.fdopen(writing, "w") as file:
                json.dump({"counts": found.counts, "examples": found.examples}, file)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)  # nothing of the parent's is tidied away
    os.close(writing)

    def result() -> Table:
        with os.fdopen(reading) as file:
            found = json.load(file)
        os.waitpid(pid, 0)
        return Table({group: Counter(counts) for group, counts in found["counts"].items()}, found["examples"])

    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of kills, faults and cases")
    args = parser.parse_args()
    preload()
    started, tables = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for number, half in enumerate((inputs_and_faults, all_kills)):
            home, work = Path(folder) / f"home{number}", Path(folder) / f"work{number}"
            home.mkdir()
            if half is inputs_and_faults:
                scenarios(home)
            tables.append(in_a_process(half, home, work, args.scale, random.Random(args.seed + number)))
        found = [table() for table in tables]
    result = {
        "benchmark": "attack",
        "seed": args.seed,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "table": {group: dict(sorted(counts.items())) for table in found for group, counts in table.counts.items()},
        "wrong": [example for table in found for example in table.examples],
        "commit": commit(),
    }
    print(json.dumps(result["table"], indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
