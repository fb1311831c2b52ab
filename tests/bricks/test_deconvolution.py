import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from modules.bricks.activation import activation_layer
from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.deconvolution import DeconvolutionLayer, lost_size


@given(
    size_px=st.integers(1, 20),
    kernel_size=st.integers(1, 7),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
)
def test_it_gives_back_the_size_that_a_convolution_took(size_px, kernel_size, stride, padding):
    if size_px + 2 * padding < kernel_size:
        return
    image = torch.zeros(1, 1, size_px, size_px)
    maps = ConvolutionLayer(1, 2, kernel_size, stride, padding)(image)
    lost = lost_size(size_px, kernel_size, stride, padding)
    back = DeconvolutionLayer(2, 1, kernel_size, stride, padding, (lost, lost))
    assert back(maps).shape == image.shape


def test_it_is_the_gradient_of_a_convolution():
    layer = DeconvolutionLayer(3, 2, 4, stride=2, padding=1)
    maps = torch.randn(5, 3, 6, 6)
    image = torch.zeros(5, 2, 12, 12, requires_grad=True)
    convolved = functional.conv2d(image, layer.deconvolution.weight, stride=2, padding=1)
    (expected,) = torch.autograd.grad(convolved, image, maps)
    torch.testing.assert_close(layer(maps), expected)


def test_maps_are_normalised_where_that_is_wanted():
    layer = DeconvolutionLayer(2, 4, 4, stride=2, norm="batch")
    answer = layer(5 + 3 * torch.randn(16, 2, 10, 10))
    assert layer.deconvolution.bias is None
    assert answer.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0] * 4, abs=1e-4)


@pytest.mark.parametrize("kernel_size, stride", [(4, 2), (3, 1), (6, 3)])
def test_initial_weights_keep_the_variance_of_the_signal(kernel_size, stride):
    torch.manual_seed(0)
    maps = torch.randn(8, 64, 12, 12)
    for _ in range(2):
        maps = DeconvolutionLayer(64, 64, kernel_size, stride, activation="relu")(maps)
        inner = maps[..., 12:-12, 12:-12] if stride > 1 else maps[..., 2:-2, 2:-2]
        assert 0.7 < inner.square().mean() < 1.4  # He's weights hold E[x^2] of a rectifier's output at 1
    assert activation_layer("relu")(maps).equal(maps)
