"""Gibbs chains that go on from step to step of a training (Tieleman 2008), and from checkpoint to checkpoint.

Each process has chains of its own; a checkpoint keeps those of all, so that a training may go on with another
number of processes.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.tasks.worker_shares import of_all_workers, of_this_worker

_NAME = "particles"


class PersistentChains(nn.Module):
    """Part of a task with chains.

    Attributes:
        particles: hidden states of this process's chains; None until there are any.
    """

    particles: Float[Tensor, "chains hidden"] | None

    def __init__(self) -> None:
        super().__init__()
        # Left out of `state_dict`, which would hold those of this process alone.
        self.register_buffer(_NAME, None, persistent=False)

    def state_of_all_workers(self) -> dict[str, Tensor]:
        """The particles of all processes, the first one's first; nothing where there are none."""
        return {} if self.particles is None else {_NAME: of_all_workers(self.particles)}

    def take_state(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Goes on with this process's share of the particles that a checkpoint holds."""
        particles = state.pop(_NAME, None)
        if particles is not None:
            self.particles = of_this_worker(particles).to(device)
