"""The page, its tables and texts; in a headless Chromium where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneshot_rlvr.commands.session import chosen_problems, start
from oneshot_rlvr.config import resolve
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.evaluation import Sampling, get_protocol
from oneshot_rlvr.evaluation.offline import Evaluation
from oneshot_rlvr.evaluation.target import Options, evaluate_target
from oneshot_rlvr.files import read_json
from oneshot_rlvr.reporting import write_report
from oneshot_rlvr.reporting.collect import RunData, collect, collect_all, grouped
from oneshot_rlvr.reporting.findings import SEPARATOR
from oneshot_rlvr.reporting.mathematics import answer, with_mathematics
from oneshot_rlvr.reporting.page import inert_json
from oneshot_rlvr.reporting.tables import papers, results
from oneshot_rlvr.runs import Run
from oneshot_rlvr.sealing import read_record, write_record

HOSTILE = "</script><script>document.title=1</script><img src=x onerror=document.title=2 id=injected> </pre><b id=bold>"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Run:
    """A short run of the tiny model on one problem, evaluated under the honest protocol."""
    settings = ["run.steps=4", "run.save_every=2", "run.validate_every=2", "run.validation=organism:validation"]
    config, sources = resolve("grpo", "tiny", [*settings, "run.validation_samples=1"])
    run = Run(tmp_path_factory.mktemp("report") / "first")
    start(run, config, sources, chosen_problems(config)[:1])
    protocol = replace(get_protocol("honest"), sampling=Sampling(4))
    suites = ["organism:numbers", "organism:hard"]
    evaluate_target(str(run.path), protocol, Options(suites, limit=16, workers=1))
    return run


def copied(run: Run, name: str, **changes: object) -> Run:
    """The run under another name, with changed `run` configuration."""
    folder = run.path.parent / name
    shutil.copytree(run.path, folder, dirs_exist_ok=True)
    record = read_record(folder / "config.json")
    record["values"]["run"] |= changes
    write_record(folder / "config.json", record)
    return Run(folder)


def rendered(page: Path, tmp_path: Path) -> str:
    """The page's elements once its scripts have run, in a browser that can reach nothing."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--window-size=1200,6000"]
    done = subprocess.run([CHROMIUM, *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    return done.stdout


def test_hostile_text_is_shown_as_text_in_a_browser(evaluated, tmp_path):
    run = copied(evaluated, "hostile")
    run.write_rollouts(1, [{**row, "text": HOSTILE} for row in run.rollouts(1)])
    examples = read_record(run.path / "eval" / "examples.json")
    examples["examples"][0] |= {"question": HOSTILE, "category": HOSTILE}
    examples["examples"][0]["after"]["text"] = HOSTILE
    write_record(run.path / "eval" / "examples.json", examples)
    scores = read_record(run.path / "eval" / "scores.json")
    for score in scores.values():
        score["average"]["by"]["category"][HOSTILE] = {"accuracy": 1.0, "interval": [0, 2], "n": 1}
    write_record(run.path / "eval" / "scores.json", scores)
    page = rendered(write_report([run.path], tmp_path / "report.html", title="A </title><script>page"), tmp_path)
    assert "<title>A &lt;/title&gt;&lt;script&gt;page</title>" in page  # no script has changed it
    assert 'id="injected"' not in page
    assert 'id="bold"' not in page
    assert page.count("&lt;script&gt;document.title=1&lt;/script&gt;") >= 3
    assert re.search(r'data-ready="\d+"', page)
    assert 'data-fetched="0"' in page
    assert page.count('data-drawn="yes"') > 10  # plots were drawn
    assert re.search(r'id="of-count">(\d+) of \1<', page)


def test_the_page_shows_hostile_text_as_text_and_fetches_nothing(evaluated, tmp_path):
    run = copied(evaluated, "static")
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = run.rollouts(1)
    run.write_rollouts(1, [{**row, "text": hostile} for row in rows])
    page = write_report([run.path], tmp_path / "report.html").read_text()
    assert hostile not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<script") == 4
    own = page.split("<script>")[0] + page.rsplit("<script>", 1)[1]
    assert "http://" not in own
    assert "https://" not in own
    assert "default-src 'none'" in page
    assert "</script" not in inert_json({"a": hostile})


def test_a_report_of_nothing_says_so(tmp_path):
    with pytest.raises(OneshotError, match="cannot read it"):
        write_report([tmp_path], tmp_path / "r.html")


def test_every_number_of_the_findings_stands_in_a_file(evaluated, tmp_path):
    """Each footnote is followed to its file, and the number before it formatted anew."""
    write_report([evaluated.path], tmp_path / "report.html")
    text = (tmp_path / "findings.md").read_text()
    sources = dict(re.findall(r"^\[\^(\d+)\]: `(.+)`$", text, re.MULTILINE))
    body = text[: text.index("[^1]: `")]
    marked = re.findall(r"([-+]?\d+(?:\.\d+)?%?)\[\^(\d+)\]", body)
    assert len(sources) > 20
    assert {mark for _, mark in marked} == set(sources)
    for shown, mark in marked:
        path, _, rest = sources[mark].partition(": ")
        keys, _, form = rest.rpartition(" as ")
        value = read_json(tmp_path / path)
        for key in keys.split(SEPARATOR):
            value = value[int(key)] if isinstance(value, list) else value[key]
        assert f"{value:{form}}" == shown, sources[mark]
    unmarked = re.sub(r"[-+]?\d+(?:\.\d+)?%?\[\^\d+\]|`[^`]*`|avg@\d+|step_\d+|pool-\d+|95 %", "", body)
    for line in unmarked.splitlines():
        assert not re.search(r"\d+\.\d", line), line  # no accuracy without its source


def test_slides_and_script_go_together(evaluated, tmp_path):
    write_report([evaluated.path], tmp_path / "report.html")
    slides = (tmp_path / "slides.md").read_text().split("\n---\n")
    script = (tmp_path / "script.md").read_text()
    assert len(slides) == len(re.findall(r"^## \d+\. ", script, re.MULTILINE))
    assert "[^" not in "".join(slides)


def test_runs_that_differ_in_the_seed_are_one_line(evaluated):
    runs = [collect(run.path) for run in (evaluated, copied(evaluated, "b", seed=1), copied(evaluated, "c", seed=2))]
    other = copied(evaluated, "d", seed=3, save_every=1)
    groups = grouped([*runs, collect(other.path)])
    assert [len(group.runs) for group in groups] == [3, 1]
    steps, mean, low, high = groups[0].spread(lambda run: run.score_curve("average"))
    assert steps == [0, 2, 4]
    assert low == mean == high
    suites, lines = results(groups)
    assert suites == ["organism:numbers", "organism:hard"]
    assert [line.label for line in lines].count("base") == 3  # with the base's other templates
    assert "3 seeds" in lines[-2].note


def changed(run: Run, name: str, section: str, **changes: object) -> Run:
    folder = copied(run, name).path
    record = read_record(folder / "config.json")
    record["values"][section] |= changes
    write_record(folder / "config.json", record)
    return Run(folder)


def test_folders_of_one_name_are_told_apart(evaluated, tmp_path):
    """They are looked up by their names in the page: one's curve would be the other's."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [shutil.copytree(evaluated.path, tmp_path / name / "run") for name in "ab"]
    names = [run.name for run in collect_all([*paths, paths[0]])]
    assert names == ["a/run", "b/run"]
    assert [run.name for run in collect_all(paths[:1])] == ["run"]


def test_no_seeds_are_invented(evaluated, tmp_path):
    """Runs of the same seed, of other steps or evaluated otherwise used to be merged into "2 seeds"."""
    main = collect(evaluated.path)
    twin = collect(copied(evaluated, "twin").path)
    assert [len(group.runs) for group in grouped([main, twin])] == [1, 1]
    longer = replace(main, name="longer", metrics=[*main.metrics, {**main.metrics[-1], "step": 9}])
    assert [len(group.runs) for group in grouped([main, longer])] == [1, 1]
    other = copied(evaluated, "limited", seed=5)
    suites = ["organism:numbers", "organism:hard"]
    protocol = replace(get_protocol("honest"), sampling=Sampling(2), base_templates=())
    evaluate_target(str(other.path), protocol, Options(suites, limit=8, workers=1))
    limited = collect(other.path)
    groups = grouped([main, limited, twin])
    assert [len(group.runs) for group in groups] == [1, 1, 1]
    _, lines = results(groups)
    notes = [line.note for line in lines]
    assert sum("16 problems, avg@2" in note for note in notes) == 2  # its own base, and its row
    assert sum("32 problems, avg@4" in note for note in notes) == 2
    assert not any("seeds" in note for note in notes)


def test_a_base_for_each_model_and_what_differs_in_the_row(evaluated, tmp_path):
    faster = changed(evaluated, "faster", "optimizer", learning_rate=0.5)
    other = changed(evaluated, "other-model", "model", path="organism")
    _, lines = results(grouped([collect(run.path) for run in (evaluated, faster, other)]))
    bases = [line.note for line in lines if line.label == "base"]
    assert sum("organism" in note for note in bases) == 3  # plain, boxed, chat
    assert len(bases) == 6
    rows = [line.note for line in lines if line.label != "base"]
    assert ["learning_rate=0.5" in note for note in rows] == [False, True, False]
    assert "path=organism" in rows[2]


def test_runs_on_other_suites_are_named_not_merged(evaluated, tmp_path):
    elsewhere = copied(evaluated, "elsewhere", seed=7)
    protocol = replace(get_protocol("honest"), sampling=Sampling(2), base_templates=())
    evaluate_target(str(elsewhere.path), protocol, Options(["organism:long"], limit=4, workers=1))
    page = write_report([evaluated.path, elsewhere.path], tmp_path / "r.html", texts=False).read_text()
    assert "Not in this table, because they were not evaluated on these suites: elsewhere." in page


def test_different_examples_are_one_line_only_if_the_seed_selected_them(evaluated):
    def on(example: str, seed: int, selected: bool = True) -> RunData:
        run = collect(evaluated.path)
        data = run.configuration["data"] | {"only": [example] if selected else None}
        configuration = run.configuration | {"data": data, "run": run.configuration["run"] | {"seed": seed}}
        problems = [replace(run.problems[0], id=example)]
        return replace(run, name=f"{example}-{seed}", configuration=configuration, problems=problems)

    def sizes(*runs: RunData) -> list[int]:
        return [len(group.runs) for group in grouped(runs)]

    assert sizes(on("a", 0), on("b", 1), on("c", 2)) == [3]
    assert sizes(on("a", 0), on("b", 0)) == [1, 1]  # pi_1 against pi_13
    assert sizes(on("a", 0), on("a", 1), on("b", 0), on("b", 1)) == [2, 2]
    assert sizes(on("a", 0, selected=False), on("b", 1, selected=False)) == [1, 1]  # two --question runs


def test_an_evaluation_under_another_protocol_is_found(evaluated, tmp_path):
    run = copied(evaluated, "other")
    (run.path / "eval").rename(run.path / "eval-paper")
    assert collect(run.path).scores
    assert Evaluation.at(run.path).folder.path == run.path / "eval-paper"
    assert not collect(run.path, "openseek").scores
    nothing = copied(evaluated, "nothing")
    shutil.rmtree(nothing.path / "eval")
    write_report([nothing.path, run.path], tmp_path / "mine.html")
    assert (tmp_path / "mine-findings.md").exists()


def test_the_papers_rows_are_the_papers():
    _, suites, lines = papers()
    assert tuple(suites) == get_protocol("paper").suites
    for line in lines:
        values = [value for value, _ in line.cells]
        assert sum(values[:-1]) / 6 == pytest.approx(values[-1], abs=0.11), line.label


def test_the_papers_rows_stand_beside_runs_on_its_benchmarks(evaluated, tmp_path):
    run = copied(evaluated, "paper")
    scores = read_record(run.path / "eval" / "scores.json")
    for row in scores.values():
        score = row["organism:numbers"]
        row.clear()
        row |= dict.fromkeys((*get_protocol("paper").suites, "average"), score)
    write_record(run.path / "eval" / "scores.json", scores)
    page = write_report([run.path], tmp_path / "r.html", texts=False).read_text()
    table = page[page.index("<h2>Results</h2>") : page.index("<h2>Test accuracy")]
    assert "MATH500" in table
    assert "one example, pi_13" in table
    assert "other benchmarks" not in table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"so $\frac{1}{2}$ of it", "<mfrac>"),
        (r"\(x^2\) and \[y_1\]", "<msup>"),
        ("5 < 6 & 7", "5 &lt; 6 &amp; 7"),
        (r"$\text{<img src=x onerror=1>}$", "&lt;img src=x"),
        (r"$\text{<b>bold</b>}$", "&lt;b&gt;bold"),
        (r"$\href{javascript:alert(1)}{x}$", r"$\href{javascript:alert(1)}{x}$"),
        (r"$\style{position:fixed}{x}$", r"$\style{position:fixed}{x}$"),
        (r"$\left( a$", r"$\left( a$"),
        ("$" + "{" * 100 + "$", "{" * 100),
        ("costs $5 and $6", "costs"),
    ],
)
def test_formulas_are_mathml_and_nothing_else_is_markup(text, shown):
    found = str(with_mathematics(text))
    assert shown in found
    assert not re.search(r"<(?!/?(?:span|math|m\w+)[ >/])|href=|style=|<img|<script", found)


@given(st.text(alphabet="$\\(){}<>&;\"'=ab textimghrefscript\n", max_size=80))
def test_no_text_becomes_markup(text):
    for found in (str(with_mathematics(text)), str(answer(text))):
        assert not re.search(r"<(?!/?(?:span|math|m\w+)[ >/])", found)


def test_the_page_has_contents_views_exports_and_folded_texts(evaluated, tmp_path):
    page = write_report([evaluated.path], tmp_path / "report.html").read_text()
    assert 'id="contents"' in page
    assert all(f'data-view="{view}"' in page for view in ("x", "smooth", "scale"))
    assert all(name in page for name in ("Plotly.downloadImage", "text/csv", "Throughput", "Peak memory"))
    assert '<details class="card example"' in page
    tokens = json.loads(re.search(r'id="tokens">(.*?)</script>', page)[1])
    steps, sums = next(iter(tokens.values()))
    assert len(steps) == len(sums) == len(evaluated.metrics())
    assert sums == sorted(sums)
