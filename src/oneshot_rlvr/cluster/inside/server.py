"""The rollout engine of a CPU run: this package's sampler behind the interface that verl's engines have.

Requests that come together are sampled together, each with the random numbers that the local loop gives it: from the
same weights a step on verl samples what `oneshot train` would.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import ray
import torch
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

from oneshot_rlvr.cluster.inside import run
from oneshot_rlvr.policy import load_policy
from oneshot_rlvr.rollout import Prompt, Rollout, SamplingParams, make_sampler

QUIET = 0.1  # seconds without a further request: then what has come is sampled


@dataclass(frozen=True)
class Request:
    """One rollout that is asked for."""

    prompt_ids: tuple[int, ...]
    params: dict[str, Any]
    answer: asyncio.Future[Rollout]

    @property
    def keys(self) -> dict[str, Any]:
        return self.params["keys"]

    def settings(self) -> SamplingParams:
        """What requests must share to be sampled together."""
        return SamplingParams(
            temperature=self.params["temperature"],
            max_new_tokens=self.params["max_tokens"],
            stop_ids=tuple(self.params["stop_token_ids"]),
            stop_strings=tuple(self.params.get("stop", ())),
            seed=tuple(self.keys["seed"]),
        )


class Server:
    """A Ray actor with the policy and a sampler."""

    def __init__(self, path: str) -> None:
        config = run.config()
        section = config.model.model_copy(update={"path": path, "device": "cpu", "dtype": "float32"})
        self.policy = load_policy(section)
        self.sampler = make_sampler(self.policy, config)
        self.waiting: list[Request] = []
        self.timer: asyncio.TimerHandle | None = None
        self.step = 0

    async def ping(self) -> str:
        return "here"

    async def update(self, tensors: dict[str, torch.Tensor], step: int | None) -> None:
        """Sample from these weights from now on."""
        own = dict(self.policy.model.named_parameters(remove_duplicate=False))
        with torch.no_grad():
            for name, tensor in tensors.items():
                own[name].copy_(tensor)
        self.sampler.update(self.policy)
        self.step = self.step if step is None else step

    async def generate(
        self, prompt_ids: list[int], sampling_params: dict[str, Any], request_id: str, **_: Any
    ) -> TokenOutput:
        """One rollout's tokens with their log-probabilities."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Rollout] = loop.create_future()
        self.waiting.append(Request(tuple(prompt_ids), sampling_params, answer))
        if self.timer is not None:
            self.timer.cancel()
        self.timer = loop.call_later(QUIET, self._sample)
        found = await answer
        return TokenOutput(
            token_ids=list(found.response_ids),
            log_probs=list(found.logprobs),
            stop_reason="completed",
            num_preempted=0,
            extra_fields={"global_steps": self.step},
        )

    def _sample(self) -> None:
        waiting, self.waiting, self.timer = self.waiting, [], None
        alike: dict[SamplingParams, list[Request]] = {}
        for request in waiting:
            alike.setdefault(request.settings(), []).append(request)
        for params, requests in alike.items():
            prompts: dict[Prompt, list[Request]] = {}
            for request in requests:
                keys = request.keys
                prompt = Prompt("", request.prompt_ids, keys["stream"], keys["attempt"])
                prompts.setdefault(prompt, []).append(request)
            copies = 1 + max(request.keys["copy"] for request in requests)
            rollouts_PG = self.sampler.sample(list(prompts), copies, params)
            for own, rollouts in zip(prompts.values(), rollouts_PG, strict=True):
                for request in own:
                    request.answer.set_result(rollouts[request.keys["copy"]])

    async def _nothing(self, *args: Any, **kwargs: Any) -> None: ...

    set_global_steps = wake_up = sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = _nothing
    abort_all_requests = resume_generation = start_profile = stop_profile = _nothing


def server_name(rank: int) -> str:
    """How a replica's server is found."""
    return f"oneshot_server_{rank}_0"


class Replica(RolloutReplica):
    """One server."""

    async def launch_servers(self) -> None:
        name = server_name(self.replica_rank)
        server: Any = ray.remote(Server)
        actor = server.options(name=name, num_cpus=1, max_concurrency=self.max_concurrency)
        self.servers = [actor.remote(self.model_config.path)]
        await asyncio.gather(*[server.ping.remote() for server in self.servers])
        self._server_handle, self._server_address = self.servers[0], name


class Adapter(BaseRollout):
    """The trainer's end: it hands the weights over after each step."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1) -> None:
        super().__init__(config, model_config, device_mesh)
        self.rank = int(os.environ["RANK"])

    async def resume(self, tags: list[str]) -> None: ...

    async def release(self) -> None: ...

    async def update_weights(
        self, weights: Generator[tuple[str, torch.Tensor], None, None], global_steps: int | None = None, **_: Any
    ) -> None:
        tensors = {name: tensor.detach().float().cpu().clone() for name, tensor in weights}
        server: Any = ray.get_actor(server_name(self.rank))
        await server.update.remote(tensors, global_steps)
