"""Intersection over union of classes: how much of what is said to be a class is, and how much of it is found.

Everingham et al. (2010), *The Pascal visual object classes (VOC) challenge*, section 4.3; mean IU in Long et
al. (2015), arXiv 1411.4038, section 5.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def confusion_matrix(
    prediction: Int[Tensor, "*places"],
    truth: Int[Tensor, "*places"],
    num_classes: int,
    keep: Bool[Tensor, "*places"] | None = None,
) -> Int[Tensor, "num_classes num_classes"]:
    """How often each class (rows) was taken for each (columns).

    Args:
        prediction: class numbers.
        truth: likewise; none may be `num_classes` or above.
        num_classes: how many there are.
        keep: which places count; None = all.
    """
    pairs = truth * num_classes + prediction
    pairs = pairs.flatten() if keep is None else pairs[keep]
    return pairs.bincount(minlength=num_classes**2).view(num_classes, num_classes)


def intersection_over_union(
    confusion: Int[Tensor, "num_classes num_classes"],
) -> Float[Tensor, " num_classes"]:
    """Of each class, in float64; NaN of one that neither is there nor was said to be."""
    hits = confusion.diagonal().double()
    return hits / (confusion.sum(0) + confusion.sum(1) - hits)


def dice(confusion: Int[Tensor, "num_classes num_classes"]) -> Float[Tensor, " num_classes"]:
    """Of each class twice the hits by what is there and what was said (Dice 1945, *Ecology* 26), in float64.

    NaN of one that neither is there nor was said to be.
    """
    return 2 * confusion.diagonal().double() / (confusion.sum(0) + confusion.sum(1))


def mean_intersection_over_union(confusion: Int[Tensor, "num_classes num_classes"]) -> float:
    """Over the classes that are there or were said to be."""
    return float(torch.nanmean(intersection_over_union(confusion)))
