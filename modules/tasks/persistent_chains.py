"""Gibbs chains that go on from step to step of a training (Tieleman 2008), and from checkpoint to checkpoint.

Each process has chains of its own; a checkpoint keeps those of all, so that a training may go on with another
number of processes.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed

from modules.tasks.task import Task


class PersistentChains(Task):
    """Base of tasks with chains.

    Attributes:
        particles: hidden states of this process's chains; None until there are any.
    """

    particles: Float[Tensor, "chains hidden"] | None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        # `on_save_checkpoint` keeps those of all processes.
        self.register_buffer("particles", None, persistent=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.particles is not None:
            checkpoint["state_dict"]["particles"] = _of_all_workers(self.particles)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        particles = checkpoint["state_dict"].pop("particles", None)
        if particles is not None:
            self.particles = _of_this_worker(particles).to(next(self.model.parameters()).device)


def _of_all_workers(mine: Float[Tensor, "mine hidden"]) -> Float[Tensor, "all hidden"]:
    if not distributed.is_initialized():
        return mine
    parts = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, mine)
    return torch.cat(parts)


def _of_this_worker(particles: Float[Tensor, "all hidden"]) -> Float[Tensor, "mine hidden"]:
    if not distributed.is_initialized():
        return particles
    return particles.tensor_split(distributed.get_world_size())[distributed.get_rank()]
