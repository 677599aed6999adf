"""Devices that are not there, and memory that is not: one line each, by stand-ins for CUDA."""

from __future__ import annotations

import pytest
import torch

from command import refused
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.memory import enough_memory
from oneshot_rlvr.policy.model import checked_device


def no_memory(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 54 GiB\nGPU 0 has ...")


def test_a_device_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [checked_device(name) for name in ("cuda", "cuda:1", "auto", "cpu")] == ["cuda", "cuda:1", "cuda", "cpu"]
    with pytest.raises(OneshotError, match="cuda:3: there is no such device"):
        checked_device("cuda:3")


@pytest.mark.parametrize("where", ["torch.nn.Module.to", "torch.optim.AdamW.step"])
def test_a_model_that_does_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path, where: str):
    monkeypatch.setattr(where, no_memory)
    settings = ["--set=sampling.max_new_tokens=4", "--set=batch.groups_per_step=1", "--set=run.validate_every=0"]
    said = refused("train", "--model", "tiny", "--steps", 1, "--out", tmp_path / "run", "--quiet", *settings)
    assert "out of memory" in said
    assert "lora_rank" in said


def test_other_errors_are_not_called_memory():
    with pytest.raises(RuntimeError, match="shapes"), enough_memory("here"):
        raise RuntimeError("shapes do not fit")
