"""Intersection over union by counting."""

import math

import torch

from modules.metrics.overlap import confusion_matrix, intersection_over_union, mean_intersection_over_union


def test_by_counting_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, answer = (torch.randint(0, 3, (4, 9, 7), generator=generator) for _ in range(2))
    keep = torch.rand(4, 9, 7, generator=generator) < 0.7
    confusion = confusion_matrix(answer, truth, 4, keep)
    assert confusion.sum() == keep.sum()
    found = intersection_over_union(confusion).tolist()
    for number in range(3):
        both = ((truth == number) & (answer == number) & keep).sum()
        either = (((truth == number) | (answer == number)) & keep).sum()
        assert found[number] == float(both) / float(either)
    assert math.isnan(found[3])  # neither there nor said to be
    assert mean_intersection_over_union(confusion) == sum(found[:3]) / 3
    assert confusion_matrix(answer, truth, 3).sum() == truth.numel()
