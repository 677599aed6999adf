"""docs/extending.md as it stands: its files are written, its commands run."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from command import oneshot
from oneshot_rlvr.runs import Run

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
SECTIONS = {part.split("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.S)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_runs_as_it_stands(section, here, capsys):
    ran = 0
    for language, text in BLOCK.findall(SECTIONS[section]):
        if language == "sh":
            for line in text.splitlines():
                ran += _run(line)
        else:
            name = re.match(r"# file: (\S+)\n", text)
            assert name is not None, f"a {language} block of {section!r} has no file name"
            (here / name[1]).write_text(text)
    assert ran
    (folder,) = (here / "runs").iterdir()
    assert len(Run(folder).metrics()) == 2
    if "mathematics" in section:
        printed = capsys.readouterr().out
        assert re.search(r"base: \d+ of 8 accepted", printed)
        assert re.search(r"step_000002: \d+ of 8 accepted", printed)


def _run(line: str) -> int:
    program, *args = shlex.split(line)
    if program == "python":
        runpy.run_path(args[0], run_name="__main__")
    else:
        assert oneshot(*args, "--quiet")[0] == 0
    return 1


def test_the_verifier_knows_more_than_one_answer(here):
    for language, text in BLOCK.findall(SECTIONS["A domain that is not mathematics"]):
        if language == "python" and "logic.py" in text:
            (here / "logic.py").write_text(text)
    satisfied = runpy.run_path("logic.py")["satisfied"]
    clauses = [["a", "-b"], ["c", "d"]]
    assert satisfied(clauses, "a = true, b = true, c = false, d = true")
    assert satisfied(clauses, "so a=false, b=false, c=true")
    assert not satisfied(clauses, "a = false, b = true, c = true, d = true")
    assert not satisfied(clauses, "a = true, b = false, c = false")
    assert not satisfied(clauses, "__import__('os')")
