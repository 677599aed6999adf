"""Every notebook runs on the tiny model as its text says, draws what it shows, and is shipped as executed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
SCREEN = 40  # lines


def cells(text: str) -> list[str]:
    """The code cells of a text in jupytext's percent format."""
    parts = re.split(r"^# %%(.*)$", text, flags=re.M)
    return [code.strip() for kind, code in zip(parts[1::2], parts[2::2], strict=True) if "markdown" not in kind]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_draws(name, tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib", reason="the notebooks need the extra `notebooks`")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONESHOT_NOTEBOOK", "tiny")
    drawn: list[int] = []
    monkeypatch.setattr(pyplot, "show", lambda: drawn.append(len(pyplot.gcf().axes)))
    exec(compile((FOLDER / f"{name}.py").read_text(), f"{name}.py", "exec"), {"__name__": name})
    pyplot.close("all")
    assert drawn
    assert all(drawn)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.ipynb")))
def test_it_is_shipped_as_executed(name):
    """The notebook has its text's code, a picture for every `plt.show()`, and no output longer than a screen."""
    nbformat = pytest.importorskip("nbformat", reason="the notebooks need the extra `notebooks`")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source.strip() for cell in code] == cells((FOLDER / f"{name}.py").read_text())
    for cell in code:
        assert cell.execution_count
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == cell.source.count("plt.show()")
        lines = [line for output in cell.outputs for line in output.get("text", "").splitlines()]
        assert len(lines) <= SCREEN
        assert not any(output.output_type == "error" for output in cell.outputs)
