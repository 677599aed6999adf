"""Shared fixtures: one torch thread, the organism's tokenizer, the real data where it is.

Nothing heavy is imported here: pytest's own process, which waits for its workers, needs none of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before NumPy and torch are imported; child processes too
    os.environ.setdefault(threads, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test downloads anything; the hub's client would try for a minute
os.cpu_count = lambda: 1  # pytest runs two processes on two cores: what a test starts for itself takes one
if hasattr(os, "sched_getaffinity"):
    os.sched_getaffinity = lambda _: {0}
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer():
    """The organism's tokenizer."""
    from oneshot_rlvr.organism.tokenizer import build_tokenizer

    return build_tokenizer()


@pytest.fixture
def shared_data() -> Path:
    """The folder of third-party data; the test is skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("ONESHOT_DATA", SHARED))
    if not folder.is_dir():
        pytest.skip(f"real data is not at {folder} (set ONESHOT_DATA)")
    return folder
