"""A trained dense LeNet and the same as convolutions."""

import pytest
import torch

from modules.models.convolutional.convolutional_lenet import ConvolutionalLeNet, convolutional_weights
from modules.models.convolutional.lenet import LeNet


def pair(hidden_sizes: tuple[int, ...]) -> tuple[LeNet, ConvolutionalLeNet]:
    torch.manual_seed(0)
    dense = LeNet((1, 28, 28), 10, hidden_sizes=hidden_sizes).eval()
    running = ConvolutionalLeNet(28, 1, 10, hidden_sizes=hidden_sizes).eval()
    running.load_state_dict(convolutional_weights(dense.state_dict()))
    return dense, running


@pytest.mark.parametrize("hidden_sizes", [(120, 84), (30,), ()])
def test_on_the_windows_own_size_both_say_the_same(hidden_sizes: tuple[int, ...]) -> None:
    dense, running = pair(hidden_sizes)
    images = torch.rand(5, 1, 28, 28)
    found = running(images)
    assert found.shape == (5, 10, 1, 1)
    torch.testing.assert_close(found[:, :, 0, 0], dense(images), atol=1e-5, rtol=0)


def test_each_window_of_a_larger_image_is_what_the_dense_net_says_of_it() -> None:
    dense, running = pair((120, 84))
    image = torch.rand(1, 1, 45, 38)
    maps = running(image)
    assert maps.shape == (1, 10, 5, 3)
    for row in range(5):
        for column in range(3):
            window = image[:, :, 4 * row : 4 * row + 28, 4 * column : 4 * column + 28]
            torch.testing.assert_close(maps[:, :, row, column], dense(window), atol=1e-5, rtol=0)


def test_padding_lets_windows_begin_before_the_image() -> None:
    running = ConvolutionalLeNet(28, 1, 10, padding_px=12)
    assert running.first_px == 2 and running.stride_px == 4
    assert running(torch.rand(1, 1, 40, 61)).shape == (1, 10, 10, 15)


def test_refused() -> None:
    with pytest.raises(ValueError, match="28x27 pixels is smaller"):
        ConvolutionalLeNet(28, 1, 10)(torch.rand(1, 1, 27, 28))
    with pytest.raises(ValueError, match="no convolution"):
        convolutional_weights({"model.output.linear.weight": torch.zeros(2, 2)})
    dense = LeNet((1, 28, 24), 10)
    with pytest.raises(ValueError, match="no square"):
        convolutional_weights(dense.state_dict())
