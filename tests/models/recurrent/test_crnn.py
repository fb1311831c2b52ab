"""CRNN: frames by columns, and padding at the right changes nothing before it."""

import pytest
import torch

from modules.models.recurrent.crnn import CRNN


def test_a_frame_is_some_columns_and_padding_is_not_read() -> None:
    torch.manual_seed(0)
    model = CRNN((1, 8, "width"), 5, [4, 6], [[2, 2], [2, 1]], hidden_size=3).eval()
    images = torch.rand(2, 1, 8, 20)
    images[1, :, :, 12:] = 0.0
    logits, frames = model(images, torch.tensor([20, 12]))
    assert logits.shape == (2, 10, 5) and frames.tolist() == [10, 6]
    alone, of_alone = model(images[1:, :, :, :12])
    assert of_alone.tolist() == [6]
    torch.testing.assert_close(logits[1, :6], alone[0])


def test_pools_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="leave nothing of a height of 8"):
        CRNN((1, 8, 20), 5, [4, 6], [[4, 2], [4, 1]])
    with pytest.raises(ValueError, match="give each its pool"):
        CRNN((1, 8, 20), 5, [4, 6], [[4, 2]])
