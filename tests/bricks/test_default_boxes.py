"""Default boxes by hand."""

from math import sqrt

import pytest
import torch

from modules.bricks.default_boxes import DefaultBoxes


def test_each_place_of_each_map_has_its_shapes() -> None:
    brick = DefaultBoxes([4, 8], [6, 12, 24], [4.0])
    boxes = brick([torch.zeros(1, 5, 2, 3), torch.zeros(1, 7, 1, 2)])
    assert brick.num_per_place == 3
    assert boxes.shape == ((2 * 3 + 1 * 2) * 3, 4)
    # The first place's centre is (2, 2); then to the right, then down.
    assert boxes[0].tolist() == [-1, -1, 5, 5]
    side = sqrt(6 * 12) / 2
    assert boxes[1].tolist() == pytest.approx([2 - side, 2 - side, 2 + side, 2 + side])
    assert boxes[2].tolist() == [2 - 6, 2 - 1.5, 2 + 6, 2 + 1.5]
    assert boxes[3].tolist() == [3, -1, 9, 5]
    assert boxes[9].tolist() == [-1, 3, 5, 9]
    assert boxes[18].tolist() == [-2, -2, 10, 10]


@pytest.mark.parametrize(
    ("sizes", "ratios", "said"), [([6], [], "one more"), ([6, 0], [], "above 0"), ([6, 9], [-1], "above 0")]
)
def test_refused(sizes: list[float], ratios: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DefaultBoxes([4], sizes, ratios)
