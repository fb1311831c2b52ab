import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from modules.bricks.convolution import ConvolutionLayer, convolved_size, same_padding


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
        layer.convolution.weight.copy_(pattern)  # biases begin at zero
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4:7, 2:5] = pattern
    answer = layer(image)[0, 0]
    assert answer[4, 2] == answer.max() == 3


def test_bricks_refuse_a_tensor_of_the_wrong_rank_during_tests():
    with pytest.raises(Exception, match="maps"):
        ConvolutionLayer(1, 1, 3)(torch.zeros(9, 9))


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
    layer = ConvolutionLayer(3, 3, kernel_size=3, padding="same", groups=3, norm="batch").eval()
    maps = torch.randn(1, 3, 8, 8)
    answer = layer(maps)
    alone = functional.conv2d(maps[:, 1:2], layer.convolution.weight[1:2], padding=1) / (1 + 1e-3) ** 0.5
    torch.testing.assert_close(answer[:, 1:2], alone)


def test_a_batch_is_normalised_filter_by_filter():
    torch.manual_seed(0)  # filters near zero would be as small as what is added to the variance
    layer = ConvolutionLayer(2, 4, kernel_size=1, norm="batch")
    answer = layer(5 + 3 * torch.randn(16, 2, 10, 10))
    assert answer.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0] * 4, abs=1e-4)
    assert answer.var(dim=(0, 2, 3)).tolist() == pytest.approx([1] * 4, rel=1e-2)


def test_normalisation_brings_the_bias_and_none_has_no_weights():
    normalised, plain = ConvolutionLayer(2, 4, 3, norm="batch"), ConvolutionLayer(2, 4, 3)
    assert set(plain.state_dict()) == {"convolution.weight", "convolution.bias"}
    assert {name for name, _ in normalised.named_parameters()} == {
        "convolution.weight",
        "normalisation.weight",
        "normalisation.bias",
    }
    with pytest.raises(ValueError, match="norm='layer' is none of none, batch"):
        ConvolutionLayer(2, 4, 3, norm="layer")
