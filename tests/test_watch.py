"""`oneshot runs` and `oneshot watch`: what is going on."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from command import oneshot, refused
from oneshot_rlvr.commands.watch import make_server
from oneshot_rlvr.runs import Run
from runs import tiny_run


def test_runs_are_listed_with_how_far_they_are(tmp_path):
    run = tiny_run(tmp_path / "a" / "first", "run.steps=3")
    tiny_run(tmp_path / "b", "run.steps=2", "run.stop_when=answer/entropy < 100")
    tiny_run(tmp_path / "c", "run.steps=2")
    (tmp_path / "c" / "metrics.jsonl").write_text("{}\n")
    (tmp_path / "again").symlink_to(tmp_path / "a")
    code, out, _ = oneshot("runs", tmp_path, "--json")
    rows = {row["run"].rpartition("/")[2]: row for row in json.loads(out)}
    assert code == 0
    assert list(rows) == ["first", "b", "c"]
    assert rows["first"]["state"] == "finished"
    assert (rows["first"]["step"], rows["first"]["recipe"], rows["first"]["model"]) == (3, "grpo", "tiny")
    assert rows["b"]["state"] == "stopped"
    assert rows["c"]["state"].startswith("damaged: ")
    with run.locked():
        assert "running" in oneshot("runs", tmp_path)[1]
    assert run.state == "finished"
    assert "no such folder" in refused("runs", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "No run under" in oneshot("runs", tmp_path / "empty")[1]


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[ThreadingHTTPServer, Run]]:
    run = tiny_run(tmp_path / "run", "run.steps=2")
    server = make_server(run, 0, 7)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server, run
    server.shutdown()
    thread.join()
    server.server_close()


def asked(server: ThreadingHTTPServer, path: str = "/", host: str | None = None) -> tuple[int, str, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{server.server_port}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, answer.headers["Refresh"]


def test_the_page_follows_the_run(served):
    server, run = served
    status, text, refresh = asked(server)
    assert (status, refresh) == (200, "7")
    assert "<title>Run run</title>" in text
    assert asked(server)[1] == text  # nothing has changed
    run.append_metrics(run.metrics()[-1] | {"step": 3})
    assert "<dd>3</dd>" in asked(server)[1] or asked(server)[1] != text
    run.metrics_path.write_text("{}\n")
    status, text, _ = asked(server)
    assert status == 500
    assert "damaged" in text
    run.metrics_path.unlink()
    assert "waiting for its first step" in asked(server)[1]


def test_it_is_for_this_machine_alone(served):
    server, _ = served
    assert server.server_address[0] == "127.0.0.1"
    assert asked(server, host="evil.example:80")[0] == 403
    assert asked(server, "/../config.json")[0] == 404
    assert asked(server, host="localhost")[0] == 200


def test_a_taken_port_and_no_run_are_one_line(served, tmp_path):
    server, run = served
    assert "cannot listen on port" in refused("watch", run.path, "--port", server.server_port)
    assert "no run in this folder" in refused("watch", tmp_path)
