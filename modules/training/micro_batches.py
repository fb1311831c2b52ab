"""A batch computed part by part: less memory for the same step.

The parts' gradients add up to that of the whole batch, however unequally much the parts count (but layers
that mix the samples of a batch, such as batch normalisation, see one part at a time). How many parts fit may
be found out (`auto`): where memory runs out in a forward or backward pass, the parts are halved and the step
begins again, with the same random numbers. What was found holds for the rest of the training, and is in its
checkpoint. Each process finds its own.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from pytorch_lightning import Callback
from torch import Tensor

from modules.metrics.mean import Mean
from modules.training.data_parallel import all_workers, with_shared_count
from modules.training.sharding.whole_tensors import local_of

if TYPE_CHECKING:
    from modules.tasks.step import Step

_MESSAGES = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on a GPU or here."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError) and any(text in str(error) for text in _MESSAGES))


class MicroBatches(Callback):
    """Leaves the gradients of batches, computed part by part.

    Args:
        num_parts: of a batch, or "auto": as many as memory asks for.
        before_part: called before the backward pass of each part, with whether it is the batch's last.

    Attributes:
        num_parts: of a batch now; a batch of fewer samples has one a sample.
        is_auto: whether they become more where memory runs out.
    """

    def __init__(
        self, num_parts: int | Literal["auto"], before_part: Callable[[bool], None] | None = None
    ) -> None:
        self.is_auto = num_parts == "auto"
        self.num_parts = 1 if num_parts == "auto" else num_parts
        self._before_part = before_part or (lambda is_last: None)

    @property
    def in_use(self) -> bool:
        """Whether a batch may be computed in more than one part."""
        return self.is_auto or self.num_parts > 1

    def backward(
        self,
        step: "Step",
        batch: dict[str, Tensor],
        backward: Callable[[Tensor], None],
        zero_grad: Callable[[], None],
    ) -> Mean:
        """Leaves the gradient of a batch's loss.

        Args:
            step: whose loss it is.
            batch: raw fields.
            backward: adds to the gradients those of a number.
            zero_grad: takes all gradients away.

        Returns:
            The loss of the whole batch, without its graph.

        Raises:
            torch.OutOfMemoryError: and others that say so: memory does not hold a part, or not one sample.
        """
        num_samples = len(next(iter(batch.values())))
        while True:
            states = _random_states() if self.is_auto else None
            zero_grad()
            try:
                return self._in_parts(step, batch, backward, min(self.num_parts, num_samples))
            except (RuntimeError, MemoryError) as error:
                if states is None or not is_out_of_memory(error) or self.num_parts >= num_samples:
                    raise
            # Out here, nothing holds the graph of what was begun any more.
            self.num_parts *= 2
            _set_random_states(states)
            zero_grad()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()

    def _in_parts(
        self, step: "Step", batch: dict[str, Tensor], backward: Callable[[Tensor], None], num_parts: int
    ) -> Mean:
        """Totals of the parts add up, and so do counts."""
        num_samples = len(next(iter(batch.values())))
        parts = {name: values.tensor_split(num_parts) for name, values in batch.items()}
        whole: Mean | None = None
        for number in range(num_parts):
            loss = step.loss({name: some[number] for name, some in parts.items()})
            self._before_part(number + 1 == num_parts)
            backward(loss.total / num_samples)
            found = Mean(loss.total.detach(), loss.count)
            whole = found if whole is None else whole + found
        assert whole is not None
        whole = with_shared_count(whole)
        if not isinstance(whole.count, int) or whole.count != num_samples:
            for parameter in step.learned:
                if parameter.grad is not None:
                    local_of(parameter.grad).mul_(num_samples / whole.count)
        return whole

    def state_dict(self) -> dict[str, Any]:
        return {"num_parts": max(all_workers(self.num_parts))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        num_parts = state_dict["num_parts"]
        if not isinstance(num_parts, int) or num_parts < 1:
            raise ValueError(f"a batch is in {num_parts} parts")
        self.num_parts = num_parts


def _random_states() -> tuple[Tensor, list[Tensor]]:
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), on_gpus


def _set_random_states(states: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(states[0])
    if states[1]:
        torch.cuda.set_rng_state_all(states[1])
