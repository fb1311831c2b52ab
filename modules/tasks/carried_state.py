"""The state of a recurrent network between two batches of a stream, and from checkpoint to checkpoint.

A batch takes the next window of every strand (see `modules.datamodules.stream_order`), so the state after one
batch is the state before the next; gradients end between them (truncated backpropagation through time).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from modules.tasks.worker_shares import of_all_workers, of_this_worker

_NAME = "carried_state"


class CarriedState:
    """Part of a task that learns from streams.

    Attributes:
        tensors: of the last batch, each [batch, ...] with a row for every strand of this process.
    """

    def __init__(self) -> None:
        self.tensors: tuple[Tensor, ...] = ()

    def before(self, begins: Bool[Tensor, " batch"]) -> tuple[Float[Tensor, "batch ..."], ...] | None:
        """The state before a batch: zeros where a document begins; None at the very first batch."""
        if not self.tensors or self.tensors[0].shape[0] != begins.shape[0]:
            return None
        keep = ~begins
        return tuple(tensor * keep.view(-1, *[1] * (tensor.ndim - 1)) for tensor in self.tensors)

    def after(self, state: tuple[Float[Tensor, "batch ..."], ...]) -> None:
        """Keeps the state after a batch, without its graph."""
        self.tensors = tuple(tensor.detach() for tensor in state)

    def state_of_all_workers(self) -> dict[str, Tensor]:
        """The states of all strands, for a checkpoint."""
        return {f"{_NAME}.{number}": of_all_workers(one) for number, one in enumerate(self.tensors)}

    def take_state(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Goes on with this process's strands of what a checkpoint holds."""
        names = sorted((name for name in state if name.startswith(f"{_NAME}.")), key=_number)
        self.tensors = tuple(of_this_worker(state.pop(name)).to(device) for name in names)


def _number(name: str) -> int:
    return int(name.rpartition(".")[2])
