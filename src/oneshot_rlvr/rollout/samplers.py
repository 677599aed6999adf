"""Samplers by name: one choice, `sampling.sampler`, for training and evaluation."""

from __future__ import annotations

from oneshot_rlvr.config import Config, Registry
from oneshot_rlvr.config.known import model_folder
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.rollout.lockstep import LockstepSampler
from oneshot_rlvr.rollout.types import Sampler

SAMPLERS = Registry("sampler", "sampling.sampler")


def make_sampler(policy: Policy, config: Config, longest: int | None = None) -> Sampler:
    """The configured sampler of a policy. `longest` is the most tokens of prompt and response, by default training's.

    Raises:
        OneshotError: no such sampler, or vLLM is asked for and not installed.
    """
    sampling = config.sampling
    tokens = longest or sampling.max_prompt_tokens + sampling.max_new_tokens
    return SAMPLERS.unit(sampling.sampler)(policy, config, min(tokens, policy.longest or tokens))


@SAMPLERS.register("lockstep")
def lockstep(policy: Policy, config: Config, longest: int) -> Sampler:
    """In this process, all rollouts token by token together; what begins alike is computed once. CPU or GPU."""
    speed = config.speed
    return LockstepSampler(
        policy, config.sampling.kv_cache_gib, speed.share_histories, speed.compaction, graphs=speed.cuda_graphs
    )


@SAMPLERS.register("vllm")
def vllm(policy: Policy, config: Config, longest: int) -> Sampler:
    """A vLLM engine in this process, on the policy's GPU; needs the extra `vllm`."""
    from oneshot_rlvr.rollout.vllm_sampler import VllmSampler

    return VllmSampler(policy, model_folder(config.model.path), longest, config.sampling.vllm_memory)
