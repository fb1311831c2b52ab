import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.bricks.convolution import ConvolutionLayer, convolved_size


@given(
    size_px=st.integers(1, 20),
    kernel_size=st.integers(1, 7),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
)
def test_the_arithmetic_of_sizes_is_torchs(size_px, kernel_size, stride, padding):
    layer = ConvolutionLayer(1, 2, kernel_size, stride, padding)
    image = torch.zeros(1, 1, size_px, size_px)
    if size_px + 2 * padding < kernel_size:
        with pytest.raises(ValueError, match=f"kernel_size={kernel_size} does not fit maps of {size_px}x"):
            convolved_size(size_px, kernel_size, stride, padding)
    else:
        expected = convolved_size(size_px, kernel_size, stride, padding)
        assert layer(image).shape == (1, 2, expected, expected)


def test_a_filter_finds_its_pattern_wherever_it_lies():
    layer = ConvolutionLayer(1, 1, 3)
    pattern = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    with torch.no_grad():
        layer.convolution.weight.copy_(pattern)
        layer.convolution.bias.zero_()
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4:7, 2:5] = pattern
    answer = layer(image)[0, 0]
    assert answer[4, 2] == answer.max() == 3


def test_bricks_refuse_a_tensor_of_the_wrong_rank_during_tests():
    with pytest.raises(Exception, match="maps"):
        ConvolutionLayer(1, 1, 3)(torch.zeros(9, 9))
