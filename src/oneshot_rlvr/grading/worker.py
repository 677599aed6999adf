"""math-verify in a process of its own, which the parent kills when it does not answer in time.

Model output is hostile text: `9^{9^{9^9}}` would otherwise freeze the trainer. One worker, started at the first
question that needs it; a killed one is replaced at the next.
"""

from __future__ import annotations

import atexit
import json
import select
import subprocess
import sys
import threading


class SymbolicWorker:
    """Asks the worker process; safe to use from several threads."""

    def __init__(self, timeout: float = 3.0) -> None:
        self.timeout = timeout
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def equal(self, answer: str, gold: str) -> bool | None:
        """Whether math-verify finds them equal; None when it did not answer in time and was killed."""
        with self._lock:
            try:
                if self._process is None:
                    self._start()
                return self._ask(answer, gold, self.timeout)
            except TimeoutError:
                self.close()
                return None
            except (EOFError, OSError):  # the worker died of what it read
                self.close()
                return False

    def _start(self) -> None:
        command = [sys.executable, "-m", "oneshot_rlvr.grading.symbolic"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._ask("1", "1", 120)  # importing and warming up is not the first answer's time

    def _ask(self, answer: str, gold: str, timeout: float) -> bool:
        assert self._process and self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"answer": answer, "gold": gold}).encode() + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise TimeoutError
        reply = self._process.stdout.readline()
        if not reply:
            raise EOFError
        return json.loads(reply) is True

    def close(self) -> None:
        """Kill the worker, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
