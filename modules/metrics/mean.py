"""A mean as a sum and a count, so that its parts add up right: workers, ragged batches, tokens."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Num
from torch import Tensor


@dataclass(frozen=True)
class Mean:
    """A mean that others can be added to.

    Attributes:
        total: sum of the values, on the device where they were computed; of a loss with its graph.
        count: how many values; a number where every batch of the same shape has the same, a tensor where it
            depends on what a batch holds, such as the lengths of its sequences.
    """

    total: Num[Tensor, ""]
    count: int | Num[Tensor, ""]

    @classmethod
    def of(cls, values: Num[Tensor, "*values"], keep: Bool[Tensor, "*values"] | None = None) -> "Mean":
        """The mean of these values: numbers, or truth values for the share that is true.

        Args:
            values: with their graph, if they have one.
            keep: which of them count, such as those that are no padding; None = all.
        """
        if keep is not None:
            # Not a product: what lies in the padding may be no finite number.
            return cls(_sum(torch.where(keep, values, torch.zeros_like(values))), keep.sum())
        return cls(_sum(values), values.numel())

    @classmethod
    def of_mean(cls, mean: Num[Tensor, ""], count: int) -> "Mean":
        """A mean that was taken over `count` values."""
        return cls(mean * count, count)

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(_wide(self.total) + _wide(other.total), self.count + other.count)

    @property
    def quotient(self) -> Num[Tensor, ""]:
        """Total by count, with the total's graph."""
        return self.total / self.count

    @property
    def value(self) -> float:
        return self.total.item() / float(self.count)


def add_up(means: dict[str, Mean], more: Mapping[str, Mean]) -> None:
    """Adds means to those of the same name."""
    for name, mean in more.items():
        means[name] = means[name] + mean if name in means else mean


def _sum(values: Tensor) -> Tensor:
    """In float32 or wider: float16 ends at 65504, which a batch's sum may pass."""
    return (
        values.sum(dtype=torch.float32) if values.dtype in (torch.float16, torch.bfloat16) else values.sum()
    )


def _wide(total: Tensor) -> Tensor:
    """In float32 or wider: a sum over a split in half precision would lose what each batch adds."""
    return total.to(torch.promote_types(total.dtype, torch.float32)) if total.is_floating_point() else total
