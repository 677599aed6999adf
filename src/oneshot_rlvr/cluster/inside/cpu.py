"""A CPU for verl, which has none: a platform, its FSDP engines, and this package's sampler as the rollout engine.

For tests, and for trying an export on a laptop before it goes to GPUs. `PyTorch` computes, gloo talks; one process.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import torch
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry

ROLLOUT = "oneshot"  # the engine's name in `actor_rollout_ref.rollout.name`
_HERE = "oneshot_rlvr.cluster.inside.server"


class _CpuModule(types.ModuleType):
    """`torch.cpu` with the questions that verl asks of `torch.cuda`, answered by nothing used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def is_available(self) -> bool:
        return False

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def get_device_name(self, *device: Any) -> str:
        return "CPU"

    def mem_get_info(self, *device: Any) -> tuple[int, int]:
        return 1 << 34, 1 << 34

    def _nothing(self, *given: Any) -> int:
        return 0

    memory_allocated = memory_reserved = max_memory_allocated = max_memory_reserved = _nothing
    empty_cache = synchronize = set_device = reset_peak_memory_stats = ipc_collect = _nothing

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def get_rng_state(self, *device: Any) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, *device: Any) -> None:
        torch.set_rng_state(state)


class CpuPlatform(PlatformBase):
    """One CPU as the one device. Ray is told of one GPU, since verl asks it for GPUs alone."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _CpuModule("torch.cpu")

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return not torch.cuda.is_available()

    def current_device(self) -> Any:
        return torch.device("cpu")

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None: ...

    def synchronize(self, device_index: int | None = None) -> None: ...

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None: ...

    def empty_cache(self) -> None: ...

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None: ...

    def profiler_stop(self) -> None: ...

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> None: ...


def register() -> None:
    """Make platform, engines and rollout known, and mend what verl 0.9.1 assumes of every device."""
    PlatformRegistry.register(platform="cpu")(CpuPlatform)
    _one_backend()
    import verl.utils.model
    import verl.workers.engine.fsdp.transformer_impl as fsdp
    from verl.workers.engine.base import EngineRegistry
    from verl.workers.rollout.base import _ROLLOUT_REGISTRY
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    kinds = {"language_model": fsdp.FSDPEngineWithLMHead, "value_model": fsdp.FSDPEngineWithValueHead}
    for kind, engine in kinds.items():
        EngineRegistry._engines[kind]["fsdp2"].setdefault("cpu", engine)
    _ROLLOUT_REGISTRY[ROLLOUT, "async"] = f"{_HERE}.Adapter"
    RolloutReplicaRegistry.register(ROLLOUT, _replica)
    offload = fsdp.CPUOffloadPolicy
    fsdp.CPUOffloadPolicy = lambda pin_memory=True: offload(pin_memory=False)  # pinned memory is a GPU's
    verl.utils.model.load_valuehead_model = _value_head


def _one_backend() -> None:
    """verl asks for the backend `cpu:gloo,DEVICE:gloo`; of one device that is refused as said twice."""
    import torch.distributed as distributed

    before = distributed.init_process_group

    def init_process_group(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("backend") == "cpu:gloo,cpu:gloo":
            kwargs["backend"] = "cpu:gloo"
        return before(*args, **kwargs)

    distributed.init_process_group = init_process_group


def _replica() -> type:
    from oneshot_rlvr.cluster.inside.server import Replica

    return Replica


def _value_head(local_path: str, torch_dtype: Any, model_config: Any, trust_remote_code: bool) -> Any:
    """A critic without flash attention, which a CPU does not have. Its head begins at 0, as this package's does."""
    from transformers import AutoModelForTokenClassification

    model = AutoModelForTokenClassification.from_pretrained(
        local_path,
        dtype=torch_dtype,
        config=model_config,
        attn_implementation="sdpa",
        trust_remote_code=trust_remote_code,
    )
    with torch.no_grad():
        for parameter in model.score.parameters():
            parameter.zero_()
    return model
