"""Sampling with vLLM in the trainer's process and on its GPU (extra `vllm`). Not run on a GPU yet.

vLLM sleeps while the policy is trained: its weights are discarded, its cache freed. Before a batch is sampled it wakes
for weights, takes the policy's, drops what it remembered of prompts, and wakes for the cache. Its log-probabilities are
those under the sampling temperature (`processed_logprobs`); how far they are from the trainer's is the metric
`policy/sampler_gap`. Every request has a seed of its own, but kernels and batches differ: a resumed run is not
bit-identical with this sampler.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from oneshot_rlvr.errors import OneshotError
from oneshot_rlvr.policy import Policy
from oneshot_rlvr.policy.lora import merged_state
from oneshot_rlvr.rollout.randomness import fold
from oneshot_rlvr.rollout.stopping import Reader
from oneshot_rlvr.rollout.types import Prompt, Rollout, SamplingParams


class VllmSampler:
    """Samples from a policy through a vLLM engine; see the module's text.

    Args:
        policy: whose weights are sampled from.
        source: the model folder or hub name from which the engine takes architecture and tokenizer.
        longest: tokens of the longest prompt and response together.
        memory: the share of the GPU's memory that the engine may take while it is awake.

    Raises:
        OneshotError: vLLM is not installed.
    """

    costly = True
    on_tokens: Callable[[int], None] | None = None  # the engine shows progress of its own

    def __init__(self, policy: Policy, source: str, longest: int, memory: float) -> None:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # the engine in this process: weights are shared
        try:
            import vllm
        except ImportError as error:
            raise OneshotError(
                "vLLM is not installed", where="sampling.sampler=vllm", fix="pip install 'oneshot-rlvr[vllm]'"
            ) from error
        self.policy, self.make_params = policy, vllm.SamplingParams
        self.longest: int | None = longest
        self.engine: Any = vllm.LLM(
            model=source,
            dtype=str(next(policy.model.parameters()).dtype).removeprefix("torch."),
            max_model_len=longest,
            gpu_memory_utilization=memory,
            enable_sleep_mode=True,
            enable_prefix_caching=True,
            logprobs_mode="processed_logprobs",
        )
        self.engine.sleep(level=2)

    def update(self, policy: Policy) -> None:
        """Sample from these weights from now on."""
        self.policy = policy

    def sample(self, prompts: Sequence[Prompt], n: int, params: SamplingParams) -> list[list[Rollout]]:
        """`n` rollouts of each prompt, in the prompts' order."""
        self._wake()
        requests = [(prompt, copy) for prompt in prompts for copy in range(n)]
        settings = [
            self.make_params(
                n=1,
                temperature=params.temperature,
                top_p=params.top_p,
                top_k=params.top_k or -1,
                max_tokens=params.max_new_tokens,
                seed=fold(*params.seed, prompt.key(copy)) >> 1,  # it takes 63 bits
                stop_token_ids=[*self.policy.stop_ids, *params.stop_ids],
                stop=list(params.stop_strings),
                logprobs=0,  # of the sampled token alone
                detokenize=bool(params.stop_strings),  # where it looks for them
            )
            for prompt, copy in requests
        ]
        inputs = [{"prompt_token_ids": list(prompt.ids)} for prompt, _ in requests]
        outputs = self.engine.generate(inputs, settings, use_tqdm=False)
        self.engine.sleep(level=2)
        rollouts = [
            self._rollout(prompt, output.outputs[0], params)
            for (prompt, _), output in zip(requests, outputs, strict=True)
        ]
        return [rollouts[start : start + n] for start in range(0, len(rollouts), n)]

    def _wake(self) -> None:
        """Give the engine the policy's weights and a fresh cache."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.engine.wake_up(tags=["weights"])
        self.engine.apply_model(lambda model: model.load_weights(self._weights()))
        self.engine.reset_prefix_cache()
        self.engine.wake_up(tags=["kv_cache"])

    def _weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        merged = merged_state(self.policy.model)
        yield from (
            ((name, p.detach()) for name, p in self.policy.model.named_parameters())
            if merged is None
            else merged.items()
        )

    def _rollout(self, prompt: Prompt, output: Any, params: SamplingParams) -> Rollout:
        ids = tuple(output.token_ids)
        stopped = output.finish_reason == "stop"
        ends = {*self.policy.stop_ids, *params.stop_ids}
        assert not stopped or params.stop_strings or ids[-1] in ends, "vLLM left the stop token out of a response"
        logprobs = tuple(float(row[token].logprob) for row, token in zip(output.logprobs, ids, strict=True))
        text = params.cut(Reader(self.policy.tokenizer, params.markers)(ids))
        return Rollout(prompt.problem_id, prompt.ids, ids, logprobs, text, "stop" if stopped else "length")
