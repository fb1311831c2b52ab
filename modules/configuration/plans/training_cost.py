"""What a training takes, as a plan says it; `modules.shapes.cost` estimates it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from modules.configuration.errors import UserError


@dataclass(frozen=True)
class Cost:
    """Totals of a network and what a step of training takes.

    Attributes:
        num_parameters: all parameters.
        num_trainable: those with a gradient.
        multiply_adds: of one sample, forward.
        backward_multiply_adds: of one sample, backward.
        activation_bytes: kept by one sample's forward pass for the backward pass.
        weight_bytes: parameters and buffers.
        optimizer_bytes: the optimizer's state; None where it cannot be told without data.
        working_bytes: the most that a step of `batch_size` holds beside these: activations, gradients and
            what is between them.
        batch_size: samples in a step.
    """

    num_parameters: int
    num_trainable: int
    multiply_adds: int
    backward_multiply_adds: int
    activation_bytes: int
    weight_bytes: int
    optimizer_bytes: int | None
    working_bytes: int
    batch_size: int

    @property
    def memory_bytes(self) -> int:
        """Estimate of the memory that tensors take at the height of a step."""
        return self.weight_bytes + (self.optimizer_bytes or 0) + self.working_bytes

    @property
    def step_multiply_adds(self) -> int:
        """Multiply-adds of one optimizer step, forward and backward."""
        return self.batch_size * (self.multiply_adds + self.backward_multiply_adds)

    def to_plain(self) -> dict[str, Any]:
        """As a plan's file holds it: every figure, the two totals among them."""
        totals = {"memory_bytes": self.memory_bytes, "step_multiply_adds": self.step_multiply_adds}
        return asdict(self) | totals


def read_cost(plain: Mapping[str, Any]) -> Cost:
    """What `to_plain` gave.

    Raises:
        UserError: a figure is missing or no number.
    """
    figures = {figure.name: plain.get(figure.name) for figure in fields(Cost)}
    for name, value in figures.items():
        if not (type(value) is int and 0 <= value < 2**63) and not (
            name == "optimizer_bytes" and value is None
        ):
            raise UserError(f"cost.{name} is {value!r}, no whole number from 0 on", "Write the plan again")
    return Cost(**figures)  # pyright: ignore[reportArgumentType]
