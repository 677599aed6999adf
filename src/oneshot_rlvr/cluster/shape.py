"""What a run on verl has under it: GPUs and nodes, the model as verl names it, what the algorithm needs."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

INSIDE = "${oc.env:ONESHOT_CLUSTER}"  # the export's folder, wherever it lies when verl runs


@dataclass(frozen=True)
class Shape:
    """`gpus` on each of `nodes`; 0 for a CPU. `model`, `critic`: folders or hub names; `needs`: an `Algorithm`'s."""

    gpus: int
    nodes: int
    model: str
    needs: Set[str] = frozenset()
    critic: str = ""
    validation_temperature: float = 0.6
    inside: str = INSIDE

    @property
    def on_gpus(self) -> bool:
        """Whether there are any."""
        return self.gpus > 0

    @property
    def processes(self) -> int:
        """Of the trainer."""
        return max(self.gpus, 1) * self.nodes

    def overrides(self) -> dict[str, Any]:
        """verl's settings for the machine and the export's files."""
        actor, rollout, model = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.model"
        files = {
            "data.train_files": f"{self.inside}/train.parquet",
            "data.shuffle": False,
            "reward.custom_reward_function.path": f"{self.inside}/reward.py",
            "reward.custom_reward_function.name": "compute_score",
            f"{rollout}.agent.agent_loop_config_path": f"{self.inside}/loop.yaml",
            f"{rollout}.agent.default_agent_loop": "oneshot",
            f"{model}.path": self.model,
            "trainer.default_local_dir": f"{self.inside}/checkpoints",
            "trainer.rollout_data_dir": f"{self.inside}/rollouts",
            "trainer.validation_data_dir": f"{self.inside}/validation",
            "trainer.project_name": "oneshot-rlvr",
            "trainer.total_epochs": 1,
            "trainer.resume_mode": "auto",
            f"{actor}.checkpoint.save_contents": ["model", "optimizer", "extra", "hf_model"],
            "critic.loss_agg_mode": "token-mean",
        }
        sizes = {
            "trainer.nnodes": self.nodes,
            "trainer.n_gpus_per_node": max(self.gpus, 1),
            f"{actor}.use_dynamic_bsz": True,
            f"{rollout}.tensor_model_parallel_size": 1,
            f"{rollout}.log_prob_use_dynamic_bsz": True,
            "actor_rollout_ref.ref.log_prob_use_dynamic_bsz": True,
        }
        return files | sizes | (self._of_gpus() if self.on_gpus else self._of_cpu())

    def _of_gpus(self) -> dict[str, Any]:
        return {"actor_rollout_ref.rollout.name": "vllm", "trainer.device": "cuda"}

    def _of_cpu(self) -> dict[str, Any]:
        """verl has no CPU of its own: `inside/cpu.py` gives it one. One process of everything."""
        parts = ("actor_rollout_ref.actor", "actor_rollout_ref.ref", "critic")
        eager: dict[str, Any] = {f"{part}.strategy": "fsdp2" for part in parts}
        for part in ("actor_rollout_ref.actor.fsdp_config", "actor_rollout_ref.ref.fsdp_config", "critic.fsdp"):
            eager[f"{part}.use_torch_compile"] = False
        eager["critic.model.use_remove_padding"] = False
        eager["critic.model.override_config.attn_implementation"] = "sdpa"
        return eager | {
            "trainer.device": "cpu",
            "actor_rollout_ref.rollout.name": "oneshot",
            "actor_rollout_ref.rollout.agent.num_workers": 1,
            "actor_rollout_ref.actor.use_torch_compile": False,
            "reward.num_workers": 1,
            "data.dataloader_num_workers": 0,
            "ray_kwargs.ray_init.num_cpus": 24,
            "ray_kwargs.ray_init.num_gpus": 1,
            "ray_kwargs.ray_init.include_dashboard": False,
            "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
        }
