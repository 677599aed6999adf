"""Rollouts: prompts in, sampled responses with their log-probabilities out."""

from oneshot_rlvr.rollout.lockstep import LockstepSampler
from oneshot_rlvr.rollout.samplers import SAMPLERS, make_sampler
from oneshot_rlvr.rollout.scripted import ScriptedSampler
from oneshot_rlvr.rollout.types import Prompt, Rollout, Sampler, SamplingParams

__all__ = [
    "SAMPLERS",
    "LockstepSampler",
    "Prompt",
    "Rollout",
    "Sampler",
    "SamplingParams",
    "ScriptedSampler",
    "make_sampler",
]
