"""The deconvolution net: sizes, and where unpooling puts things."""

import pytest
import torch

from modules.bricks.unpooling import PlacedPooling, Unpooling
from modules.models.convolutional.deconvolution_net import DeconvolutionNet


def test_numbers_come_back_to_their_places() -> None:
    maps = torch.tensor([[[[1.0, 2, 0, 0, 9], [0, 0, 0, 3, 9], [9, 9, 9, 9, 9]]]])
    pooled, places = PlacedPooling()(maps)
    assert pooled.tolist() == [[[[2, 3]]]]
    back = Unpooling()(10 * pooled, places, (3, 5))
    assert back.tolist() == [[[[0, 20, 0, 0, 0], [0, 0, 0, 30, 0], [0, 0, 0, 0, 0]]]]


@pytest.mark.parametrize("size", [(32, 48), (37, 19)])
def test_an_answer_for_each_pixel_of_any_size(size: tuple[int, int]) -> None:
    model = DeconvolutionNet((3, 32, 32), 4, (3, 5), (1, 2), bottleneck=6).eval()
    assert model(torch.rand(2, 3, *size)).shape == (2, 4, *size)


def test_the_second_half_mirrors_the_first() -> None:
    model = DeconvolutionNet((3, 32, 32), 4, (3, 5), (1, 2), bottleneck=6)
    weights = {name: tuple(weight.shape[:2]) for name, weight in model.named_parameters() if weight.ndim == 4}
    encoder = [shape for name, shape in weights.items() if name.startswith("encoder")]
    decoder = [shape for name, shape in weights.items() if name.startswith("decoder")]
    assert encoder == [(3, 3), (5, 3), (5, 5)]
    assert decoder == [(3, 3), (5, 5), (5, 3)]  # of transposed convolutions the input comes first


def test_refused() -> None:
    with pytest.raises(ValueError, match="as many"):
        DeconvolutionNet((3, 32, 32), 4, (3, 5), (1,))
    with pytest.raises(ValueError, match="too small for 4 poolings"):
        DeconvolutionNet((3, 9, 9), 4)
