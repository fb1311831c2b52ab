"""What a task may have beside what every task has; training asks for it with `isinstance`."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from modules.metrics.mean import Mean


@runtime_checkable
class OwnGradientStep(Protocol):
    """A task that knows a shorter way down the gradient than autograd's."""

    def gradient_step(self, batch: dict[str, Tensor], optimizer: Optimizer) -> Mean:
        """Takes one step down the gradient of a batch's loss, and returns the loss, without a graph.

        It is taken in blocks, by one process alone, and where nothing else acts on losses and gradients.
        """
        ...


@runtime_checkable
class OwnParameterGroups(Protocol):
    """A task whose parameters do not all learn in the way that the recipe's optimiser says."""

    def regroup(self, optimizer: Optimizer) -> None:
        """Changes the groups of a new optimiser."""
        ...


@runtime_checkable
class NamesClasses(Protocol):
    """A task that says how probable each class is, as evaluators and students ask.

    Attributes:
        label: the field of class numbers.
    """

    label: str

    def probabilities(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch num_classes"]:
        """Of a batch of raw fields, in evaluation mode."""
        ...


@runtime_checkable
class OwnState(Protocol):
    """A task that a checkpoint keeps more of than weights and buffers."""

    def state_of_all_workers(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside `state_dict`, by names that are not in it.

        All workers ask at the same time.
        """
        ...

    def take_state(self, state: dict[str, Tensor]) -> None:
        """Takes what `state_of_all_workers` gave, for this worker, out of what a checkpoint holds."""
        ...


@runtime_checkable
class KnowsSamples(Protocol):
    """A task that knows some samples of its dataset throughout, such as the painting whose style it learns.

    They are of the data's shards, and so of the identity of a run.

    Attributes:
        known_split: the split that holds them.
    """

    known_split: str

    def know(self, samples: dict[str, Tensor]) -> None:
        """Takes all samples of that split, raw fields as in a batch, before anything else is asked."""
        ...
