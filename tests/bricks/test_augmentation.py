import pytest
import torch

from modules.bricks.augmentation import RandomShift


def test_each_picture_is_moved_whole_by_at_most_max_shift_px():
    torch.manual_seed(0)
    pictures = torch.zeros(200, 2, 9, 11)
    pictures[:, 0, 4, 5] = 1
    pictures[:, 1, 4, 5] = 2
    shifted = RandomShift(2)(pictures)
    assert shifted.shape == pictures.shape
    seen = set()
    for picture in shifted:
        (row, column), *more = picture[0].nonzero().tolist()
        assert not more and picture[1, row, column] == 2
        seen.add((row - 4, column - 5))
    assert seen == {(rows, columns) for rows in range(-2, 3) for columns in range(-2, 3)}


def test_a_shift_of_zero_changes_nothing_and_a_negative_one_is_refused():
    pictures = torch.rand(3, 1, 5, 5)
    assert torch.equal(RandomShift(0)(pictures), pictures)
    with pytest.raises(ValueError, match="max_shift_px=-1 is negative"):
        RandomShift(-1)
