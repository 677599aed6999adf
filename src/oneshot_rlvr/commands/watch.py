"""`oneshot watch`: a run's report on the loopback address, written again when the run has gone on."""

from __future__ import annotations

import contextlib
import html
import tempfile
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oneshot_rlvr.errors import OneshotError

if TYPE_CHECKING:
    from oneshot_rlvr.runs import Run

LOOPBACK = "127.0.0.1"
WAITING = "<!doctype html><meta charset=utf-8><title>{name}</title><p>Run {name}: waiting for its first step."


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder; the run may be going on.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8008,
    every: Annotated[float, typer.Option(min=1, help="Seconds between refreshes.")] = 15.0,
) -> None:
    """Serve a run's report, refreshed while the run goes on, on this machine alone; Ctrl-C ends it."""
    from oneshot_rlvr.runs import Run

    try:
        server = make_server(Run.at(run), port, every)
    except OSError as error:
        raise OneshotError(
            f"cannot listen on port {port}: {error.strerror}", fix="Give another --port, or 0."
        ) from error
    print(
        f"http://{LOOPBACK}:{server.server_port}/ shows {run}, refreshed every {every:g} s. Ctrl-C ends it.", flush=True
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()


class Page:
    """The report of a run, written again when its files have changed since."""

    def __init__(self, run: Run) -> None:
        self.run, self.text = run, b""
        self.seen: tuple[int, ...] = ()
        self.lock = threading.Lock()
        self.scratch = tempfile.TemporaryDirectory()

    def get(self) -> bytes:
        """The page as it should be now."""
        from oneshot_rlvr.reporting import write_report

        with self.lock:
            scored = self.run.evaluation()
            files = (self.run.metrics_path, scored.scores_path, scored.summary_path)
            now = tuple(path.stat().st_mtime_ns for path in files if path.exists())
            if now != self.seen or not self.text:
                out = Path(self.scratch.name) / "report.html"
                if self.run.metrics_path.exists() and self.run.metrics():
                    self.text = write_report([self.run.path], out, f"Run {self.run.name}", texts=False).read_bytes()
                else:
                    self.text = WAITING.format(name=html.escape(self.run.name)).encode()
                self.seen = now
            return self.text


def make_server(run: Run, port: int, every: float) -> ThreadingHTTPServer:
    """A server of one page, for this machine's own browsers: other names for it than its own are refused."""
    page = Page(run)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.headers.get("Host", "").split(":")[0]
            if name not in (LOOPBACK, "localhost"):
                self.send_error(HTTPStatus.FORBIDDEN)
            elif self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._answer()

        def _answer(self) -> None:
            try:
                status, text = HTTPStatus.OK, page.get()
            except (OneshotError, OSError) as error:
                status, text = HTTPStatus.INTERNAL_SERVER_ERROR, f"<!doctype html><p>{html.escape(str(error))}".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Refresh", f"{every:g}")
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # a browser that has left
                self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    server.daemon_threads = True
    return server
