"""Matching and hard negatives against the paper's rule in plain Python."""

import torch
from torch import Tensor

from modules.bricks.boxes import box_overlaps
from modules.tasks.box_matching import hard_negatives, match
from tests.generation.test_detections import random_boxes


def by_rule(boxes: Tensor, default_boxes: Tensor, min_overlap: float) -> list[int]:
    overlaps = box_overlaps(boxes, default_boxes).tolist()
    matched = [-1] * len(default_boxes)
    for place in range(len(default_boxes)):
        best = max(range(len(boxes)), key=lambda number: overlaps[number][place])
        if overlaps[best][place] > min_overlap:
            matched[place] = best
    pairs = {(number, place) for number in range(len(boxes)) for place in range(len(default_boxes))}
    while pairs:
        number, place = max(pairs, key=lambda pair: overlaps[pair[0]][pair[1]])
        matched[place] = number
        pairs = {(other, where) for other, where in pairs if other != number and where != place}
    return matched


def test_every_object_has_its_default_box() -> None:
    default_boxes = random_boxes(60, 0)
    boxes = torch.stack([random_boxes(5, seed) for seed in range(1, 5)])
    counts = torch.tensor([5, 3, 1, 0])
    matched, reached = match(boxes, counts, default_boxes, 0.4)
    for number, count in enumerate(counts.tolist()):
        expected = by_rule(boxes[number, :count], default_boxes, 0.4) if count else [-1] * 60
        assert matched[number].tolist() == expected
        assert set(range(count)) <= set(expected)
        overlaps = box_overlaps(boxes[number, :count], default_boxes)
        torch.testing.assert_close(reached[number, :count], overlaps.amax(1) if count else overlaps[:, 0])
        assert (reached[number, count:] == -1).all()


def test_two_objects_that_want_the_same_default_box() -> None:
    default_boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]])
    boxes = torch.tensor([[[0.0, 0.0, 10.0, 9.0], [0.0, 0.0, 10.0, 10.0]]])
    matched, _ = match(boxes, torch.tensor([2]), default_boxes)
    assert matched.tolist() == [[1, 0]]


def test_no_objects_at_all() -> None:
    matched, reached = match(torch.zeros(2, 1, 4), torch.tensor([0, 0]), random_boxes(7, 0))
    assert matched.tolist() == [[-1] * 7] * 2 and reached.tolist() == [[-1.0]] * 2


def test_the_negatives_that_are_most_wrong() -> None:
    losses = torch.tensor([[9.0, 1.0, 5.0, 3.0, 4.0, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    positive = torch.tensor([[True, False, False, False, False, False], [False] * 6])
    chosen = hard_negatives(losses, positive, ratio=2.0)
    assert chosen.tolist() == [
        [False, False, True, False, True, False],
        [False, False, False, False, True, True],  # of an image without objects as of one with one
    ]
