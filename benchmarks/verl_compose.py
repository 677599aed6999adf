"""Does verl's own configuration accept every recipe for every model profile, or is the setting named that it lacks?

In verl's environment (`make .venv-verl/.installed`): python benchmarks/verl_compose.py --json results/verl_compose.json
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import warnings
from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config

import oneshot_rlvr.organism
import oneshot_rlvr.selectors  # noqa: F401 - and its reward
from oneshot_rlvr.cluster import Export
from oneshot_rlvr.cluster.export import hydra_lines
from oneshot_rlvr.cluster.folder import ENVIRONMENT
from oneshot_rlvr.config import names, resolve
from oneshot_rlvr.config.known import MODEL_FOLDERS
from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.files import write_json
from oneshot_rlvr.runs.environment import commit

MUST = (
    *("grpo", "grpo-2shot", "grpo-full", "ppo", "ppo-full", "ghpo", "openseek-v1", "openseek-v4"),
    *("entropy-only", "format-reward", *(f"ablation-{row:02d}" for row in range(1, 14))),
)


def accepted(recipe: str, profile: str, gpus: int) -> str | None:
    """None where verl takes the settings, else what was refused.

    Raises whatever verl does: then its configuration does not take what was exported.
    """
    try:
        config, sources = resolve(recipe, profile, [])
        lines = hydra_lines(Export(config, sources, [], gpus).overrides())
    except OneshotError as refusal:
        return str(refusal)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        composed = compose("ppo_trainer", overrides=lines)
        OmegaConf.resolve(composed)
        composed.critic.model.path = str(MODEL_FOLDERS["tiny"])  # verl opens its tokenizer, and no hub may be here
        if find_spec("vllm") is None:  # verl would ask it for its highest rank of adapters
            composed.actor_rollout_ref.rollout.name = "none"
        validate_config(composed, need_reference_policy(composed), need_critic(composed))
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    refused: dict[str, str] = {}
    taken: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, initialize_config_module("verl.trainer.config", version_base=None):
        os.environ[ENVIRONMENT] = folder
        for recipe in names("recipes"):
            for profile in names("profiles"):
                if (why := accepted(recipe, profile, given.gpus)) is None:
                    taken[recipe] += 1
                else:
                    refused[recipe] = why
    profiles = len(names("profiles"))
    for recipe in names("recipes"):
        print(f"{recipe}: {taken[recipe]} of {profiles} profiles{'; ' + refused[recipe] if recipe in refused else ''}")
    missing = [recipe for recipe in MUST if taken[recipe] < profiles]
    print(f"{sum(taken.values())} compositions accepted; of those that must be, missing: {missing or 'none'}")
    if given.json:
        found = {"verl": version("verl"), "commit": commit(), "gpus": given.gpus, "profiles": profiles}
        write_json(given.json, found | {"accepted": dict(taken), "refused": refused})
    raise SystemExit(bool(missing))


if __name__ == "__main__":
    main()
