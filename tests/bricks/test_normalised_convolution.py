import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from modules.bricks.normalised_convolution import NormalisedConvolution, same_padding


@given(size_px=st.integers(1, 30), kernel_size=st.integers(1, 7), stride=st.integers(1, 3))
def test_padding_lets_ceil_of_size_by_stride_windows_fit(size_px, kernel_size, stride):
    before, after = same_padding(size_px, kernel_size, stride)
    assert 0 <= after - before <= 1
    windows = (size_px + before + after - kernel_size) // stride + 1
    assert windows == -(-size_px // stride)


def test_an_even_image_is_padded_after_as_its_weights_were_trained():
    # TensorFlow's "same": 224 pixels, 3x3 by 2: nothing before, one row after.
    assert same_padding(224, 3, 2) == (0, 1)
    assert same_padding(7, 5, 1) == (2, 2)


def test_a_depthwise_convolution_filters_each_channel_alone():
    layer = NormalisedConvolution(3, 3, kernel_size=3, groups=3).eval()
    maps = torch.randn(1, 3, 8, 8)
    answer = layer(maps)
    alone = functional.conv2d(maps[:, 1:2], layer.convolution.weight[1:2], padding=1) / (1 + 1e-3) ** 0.5
    torch.testing.assert_close(answer[:, 1:2], alone)


def test_a_batch_is_normalised_filter_by_filter():
    layer = NormalisedConvolution(2, 4, kernel_size=1)
    answer = layer(5 + 3 * torch.randn(16, 2, 10, 10))
    assert answer.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0] * 4, abs=1e-4)
    assert answer.var(dim=(0, 2, 3)).tolist() == pytest.approx([1] * 4, rel=1e-2)
