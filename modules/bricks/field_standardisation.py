"""Numbers of a table brought to mean 0 and deviation 1, as they are over the training split.

LeCun, Bottou, Orr & Müller (1998), *Efficient backprop*, section 4.3. Mean and deviation are part of the
weights: what is trained, evaluated, exported and served takes the numbers as they stand in the table,
with nothing else to know.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FieldStandardisation(nn.Module):
    """Subtracts the mean of each number and divides by its deviation.

    Args:
        field: whose mean and deviation are taken, from the statistics that its dataset's shards.json holds.
        num_features: numbers of a sample.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, field: str, num_features: int) -> None:
        super().__init__()
        self.field = field
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))

    def take(self, statistics: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        """Takes over what the dataset's statistics say of the field.

        Args:
            statistics: {field: {"mean", "deviation"}}, a number for each feature.

        Raises:
            KeyError: they say nothing of it.
        """
        for name, buffer in (("mean", self.mean), ("deviation", self.deviation)):
            buffer.copy_(torch.tensor(statistics[self.field][name], dtype=buffer.dtype))

    def forward(self, values: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        return (values - self.mean) / self.deviation
