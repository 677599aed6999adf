"""The scripts of an export: run it here, on Slurm, through Ray; and the environment that runs it."""

from __future__ import annotations

import json
import shlex
import urllib.parse
from importlib.metadata import distribution, version

from oneshot_rlvr.cluster.folder import ENVIRONMENT, LAUNCH
from oneshot_rlvr.cluster.shape import Shape
from oneshot_rlvr.config import Config

VERL = "0.9.1"
# What our code needs inside verl; its own pins choose torch, transformers, pydantic and the like.
_NEEDED = ("latex2mathml", "pylatexenc", "zstandard", "jinja2", "typer", "rich", "scikit-learn", "scipy")


def scripts(config: Config, shape: Shape) -> dict[str, str]:
    """File names and texts."""
    return {
        "requirements.txt": _requirements(shape),
        "install.sh": _install(shape),
        "run.sh": _run(config, shape),
        "slurm.sh": _slurm(shape),
        "ray_job.sh": _ray_job(),
    }


def _requirements(shape: Shape) -> str:
    """An environment of its own: verl's pins differ from ours. omegaconf wants another antlr than we have here."""
    engine = f"verl[vllm]=={VERL}" if shape.on_gpus else f"verl=={VERL}"
    lines = [engine, "TransferQueue==0.1.11", "cachetools", "fastapi", "uvicorn"]
    lines.append(f"math-verify[antlr4_9_3]=={version('math-verify')}")
    lines += [f"{name}=={version(name)}" for name in _NEEDED]
    return "\n".join(lines) + "\n"


def _install(shape: Shape) -> str:
    """This package without its own pins, from where it was exported, or from the index."""
    first = "" if shape.on_gpus else '"$1/bin/pip" install torch\n'
    flash = '"$1/bin/pip" install --no-build-isolation flash-attn==2.8.3\n' if shape.on_gpus else ""
    return f"""#!/usr/bin/env bash
# The environment of this run: bash install.sh VENV. ONESHOT_PACKAGE: a folder or wheel of oneshot-rlvr.
set -euo pipefail
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
python3 -m venv "$1"
{first}"$1/bin/pip" install -r "$here/requirements.txt"
{flash}package={shlex.quote(_package())}
"$1/bin/pip" install --no-deps "${{ONESHOT_PACKAGE:-$package}}"
"""


def _package() -> str:
    own = distribution("oneshot-rlvr")
    url = urllib.parse.urlsplit(json.loads(own.read_text("direct_url.json") or "{}").get("url", ""))
    return urllib.parse.unquote(url.path) if url.scheme == "file" else f"oneshot-rlvr=={own.version}"


def _run(config: Config, shape: Shape) -> str:
    """verl is told of its folder by environment variables, which reach Ray's workers on every machine."""
    platform = "" if shape.on_gpus else "export VERL_PLATFORM=cpu\n"
    threads = config.model.threads if config.model.threads and not shape.on_gpus else 8 if shape.on_gpus else 1
    names = [ENVIRONMENT, LAUNCH, "VERL_FILE_LOGGER_PATH", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"]
    names += [] if shape.on_gpus else ["VERL_PLATFORM"]
    return f"""#!/usr/bin/env bash
# Run (or go on with) this export on the machines of the Ray cluster that RAY_ADDRESS names, or on this one alone.
set -euo pipefail
export {ENVIRONMENT}=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
export {LAUNCH}=${{{LAUNCH}:-$(date +%s)}}
export VERL_FILE_LOGGER_PATH="${ENVIRONMENT}/logs/metrics_${LAUNCH}.jsonl"  # verl empties it when it begins
export OMP_NUM_THREADS={threads} TOKENIZERS_PARALLELISM=false HYDRA_FULL_ERROR=1
{platform}mkdir -p "${ENVIRONMENT}/logs"
mapfile -t overrides < "${ENVIRONMENT}/overrides.txt"
quote="'" escaped="\\\\'"
for name in {" ".join(names)}; do
    overrides+=("+ray_kwargs.ray_init.runtime_env.env_vars.$name='${{!name//$quote/"$escaped"}}'")
done
overrides+=('hydra.run.dir=${{oc.env:{ENVIRONMENT}}}/logs/hydra')
code=0
"${{PYTHON:-python}}" -m verl.trainer.main_ppo "${{overrides[@]}}" "$@" \
    2>&1 | tee -a "${ENVIRONMENT}/logs/console_${LAUNCH}.log" || code=$?
echo "$code" > "${ENVIRONMENT}/logs/.exit_${LAUNCH}"
mv "${ENVIRONMENT}/logs/.exit_${LAUNCH}" "${ENVIRONMENT}/logs/exit_${LAUNCH}"
exit "$code"
"""


def _slurm(shape: Shape) -> str:
    return f"""#!/usr/bin/env bash
#SBATCH --nodes={shape.nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={shape.gpus}
#SBATCH --exclusive
# sbatch slurm.sh, from this folder, which all nodes must see. PYTHON names the environment's python.
set -euo pipefail
ray=$(dirname "${{PYTHON:-$(command -v python)}}")/ray
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export RAY_ADDRESS=$head:6379
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" "$ray" start --head --port=6379 --block &
sleep 20
if (({shape.nodes} > 1)); then
    srun --overlap --nodes=$(({shape.nodes} - 1)) --ntasks=$(({shape.nodes} - 1)) --exclude="$head" \\
        "$ray" start --address="$RAY_ADDRESS" --block &
    sleep 20
fi
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" ./run.sh
"""


def _ray_job() -> str:
    return """#!/usr/bin/env bash
# Submit to a Ray cluster: RAY_API_SERVER_ADDRESS=http://HEAD:8265 ./ray_job.sh. All nodes must see this folder.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$(command -v "${PYTHON:-python}")
bin=$(cd "$(dirname "$python")" && pwd)  # the job begins in a folder of its own
exec "$bin/ray" job submit --no-wait -- env RAY_ADDRESS=auto PYTHON="$bin/$(basename "$python")" "$here/run.sh"
"""
