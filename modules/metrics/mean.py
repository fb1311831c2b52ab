"""A mean as a sum and a count, so that its parts add up right: workers, ragged batches, tokens."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Num
from torch import Tensor


@dataclass(frozen=True)
class Mean:
    """A mean that others can be added to.

    Attributes:
        total: sum of the values, on the device where they were computed.
        count: how many values.
    """

    total: Num[Tensor, ""]
    count: int

    @classmethod
    def of(cls, values: Num[Tensor, "*values"]) -> "Mean":
        """The mean of these values: numbers, or truth values for the share that is true."""
        return cls(values.detach().sum(), values.numel())

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(_wide(self.total) + _wide(other.total), self.count + other.count)

    @property
    def value(self) -> float:
        return float(self.total) / self.count


def add_up(means: dict[str, Mean], more: Mapping[str, Mean]) -> None:
    """Adds means to those of the same name."""
    for name, mean in more.items():
        means[name] = means[name] + mean if name in means else mean


def _wide(total: Tensor) -> Tensor:
    """In float32 or wider: a sum over a split in half precision would lose what each batch adds."""
    return total.to(torch.promote_types(total.dtype, torch.float32)) if total.is_floating_point() else total
