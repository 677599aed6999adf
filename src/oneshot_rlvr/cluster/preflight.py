"""What is looked at before verl starts, so that a run does not fail after minutes for what a second can tell."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from oneshot_rlvr.cluster.folder import ENVIRONMENT, Folder
from oneshot_rlvr.cluster.scripts import VERL
from oneshot_rlvr.config import Config
from oneshot_rlvr.errors import OneshotError

PROBE = "oneshot_rlvr.cluster.inside.probe"
STORAGE_UNITS = 8  # verl's default, one CPU each; on a CPU the export asks for one
CPUS_OF_A_GPU = 3  # that verl reserves
# Of a parameter in a checkpoint: weights and two moments; the actor's in Hugging Face's form too.
BYTES = {"actor": 16, "critic": 12}


def preflight(folder: Folder, python: str) -> list[str]:
    """Every reason why this export cannot run in the environment of `python`, one line each with its fix.

    Raises:
        OneshotError: there is no such Python, or this package is not in its environment.
    """
    return list(troubles(folder, probed(folder, python)))


def probed(folder: Folder, python: str) -> dict[str, Any]:
    """What is there, asked in verl's own environment.

    Raises:
        OneshotError: there is no such Python, or this package is not in its environment.
    """
    model = _model(folder)
    environment = os.environ | {ENVIRONMENT: str(folder.path), "VERL_USE_EXTERNAL_PLUGINS": "none"}
    fix = f"Make one: bash {folder.path}/install.sh VENV, then --python VENV/bin/python."
    try:
        done = subprocess.run(
            [python, "-m", PROBE, str(folder.path), model], capture_output=True, text=True, env=environment, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OneshotError(f"this Python does not run ({error})", where=python, fix=fix) from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise OneshotError(f"not an environment for verl ({said[:200]})", where=python, fix=fix)
    return json.loads(done.stdout.strip().splitlines()[-1])


def _model(folder: Folder) -> str:
    own = folder.path / "model"
    return str(own) if own.is_dir() else folder.config.model.path


def troubles(folder: Folder, there: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with an export and what is there for it."""
    about, config = folder.about, folder.config
    gpus, nodes = int(about["gpus"]), int(about["nodes"])
    yield from _packages(config, gpus, there["packages"], there["plugin"])
    yield from _batch(config, max(gpus, 1) * nodes)
    if gpus and there["gpus"] < gpus and nodes == 1 and "RAY_ADDRESS" not in os.environ:
        yield f"{there['gpus']} GPUs are here, the export wants {gpus}. Export with --gpus {there['gpus']}."
    wanted = STORAGE_UNITS + 2 + CPUS_OF_A_GPU * gpus  # a controller, and one to place the rest with
    if gpus and (there["cpus"] or 1) < wanted:
        yield (
            f"Ray hangs on {there['cpus']} CPUs: {gpus} GPUs and {STORAGE_UNITS} storage units reserve {wanted}. "
            "Lower transfer_queue.backend.SimpleStorage.num_data_storage_units with --override, or take more CPUs."
        )
    yield from _prompts(config, there)
    yield from _disk(folder, config)


def _packages(config: Config, gpus: int, packages: Mapping[str, str | None], plugin: str | None) -> Iterator[str]:
    if packages["verl"] != VERL:
        yield f"verl is {packages['verl'] or 'not there'}, this export is for {VERL}. Run install.sh."
    for name in ("ray", "TransferQueue", "math-verify", *(("vllm", "flash-attn") if gpus else ())):
        if packages[name] is None:
            what = " (verl packs sequences with it, a critic needs it)" if name == "flash-attn" else ""
            yield f"{name} is not installed{what}. pip install {name}."
    if plugin is not None:
        yield f"verl does not load our plugin: {plugin}. pip install --no-deps oneshot-rlvr again, in its environment."


def _batch(config: Config, processes: int) -> Iterator[str]:
    batch = config.batch
    part = batch.groups_per_step * batch.group_size // batch.minibatches
    if part % processes:
        yield (
            f"{part} rollouts of an update do not split over {processes} processes. "
            f"Export with --set batch.groups_per_step={batch.minibatches * processes} or a multiple of it."
        )


def _prompts(config: Config, there: Mapping[str, Any]) -> Iterator[str]:
    if "model" in there:
        yield f"the model or its tokenizer does not load: {there['model']}. Put it where the configuration says."
        return
    sampling = config.sampling
    if there["longest"] > sampling.max_prompt_tokens:
        yield (
            f"a prompt has {there['longest']} tokens, more than {sampling.max_prompt_tokens}. "
            f"Export with --set sampling.max_prompt_tokens={there['longest']}."
        )
    places = there["places"]
    if places is not None and there["longest"] + sampling.max_new_tokens > places:
        yield (
            f"{there['longest']} tokens of prompt and {sampling.max_new_tokens} new ones exceed the model's {places}. "
            f"Export with --set sampling.max_new_tokens={places - there['longest']}."
        )


def _disk(folder: Folder, config: Config) -> Iterator[str]:
    """Room for the checkpoints, where the model's size can be seen from here."""
    parameters = sum(map(_parameters, Path(_model(folder)).glob("*.safetensors")))
    if not parameters:
        return
    kinds = BYTES["actor"] + (BYTES["critic"] if config.algorithm.advantage.startswith("gae") else 0)
    count = -(-config.run.steps // config.run.save_every)
    wanted = parameters * kinds * count
    free = shutil.disk_usage(folder.path).free
    if wanted > free:
        yield (
            f"{count} checkpoints take {wanted / 2**30:.0f} GiB and "
            f"{free / 2**30:.0f} are free. Export with a larger --set run.save_every=, or onto another disk."
        )


def _parameters(path: Path) -> int:
    with safe_open(path, "numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
