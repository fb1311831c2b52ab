import pytest
import torch

from modules.bricks.augmentation import RandomShift


def test_each_image_is_moved_whole_by_at_most_max_shift_px():
    torch.manual_seed(0)
    images = torch.zeros(200, 2, 9, 11)
    images[:, 0, 4, 5] = 1
    images[:, 1, 4, 5] = 2
    shifted = RandomShift(2)(images)
    assert shifted.shape == images.shape
    seen = set()
    for image in shifted:
        (row, column), *more = image[0].nonzero().tolist()
        assert not more and image[1, row, column] == 2
        seen.add((row - 4, column - 5))
    assert seen == {(rows, columns) for rows in range(-2, 3) for columns in range(-2, 3)}


def test_a_shift_of_zero_changes_nothing_and_a_negative_one_is_refused():
    images = torch.rand(3, 1, 5, 5)
    assert torch.equal(RandomShift(0)(images), images)
    with pytest.raises(ValueError, match="max_shift_px=-1 is negative"):
        RandomShift(-1)
