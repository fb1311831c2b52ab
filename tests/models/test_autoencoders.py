"""What both autoencoders promise: a code of the asked size, and a decoder that mirrors the encoder."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.models.convolutional.convolutional_autoencoder import ConvolutionalAutoencoder
from modules.models.feedforward.autoencoder import Autoencoder


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(9, 40), st.integers(9, 40)),
    kernel_size=st.integers(2, 5),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=2),
)
@settings(max_examples=40)
def test_an_image_of_any_size_comes_back_in_its_size(shape, kernel_size, sizes):
    images = torch.rand(2, *shape)
    for model in (
        ConvolutionalAutoencoder(shape, 3, sizes, kernel_size, hidden_sizes=sizes),
        Autoencoder(shape, 3, sizes),
    ):
        assert model.encode(images).shape == (2, 3)
        assert model(images).shape == images.shape
        assert torch.equal(model.decode(model.encode(images)), model(images))


def test_the_dense_decoder_is_the_encoder_in_a_mirror():
    model = Autoencoder((1, 28, 28), 10, [512, 256], activation="sigmoid")
    assert [name for name, _ in model.named_parameters()] == [
        f"{side}.{k}.linear.{kind}"
        for side in ("encoder", "decoder")
        for k in range(3)
        for kind in ("weight", "bias")
    ]
    for k in range(3):
        down, up = (
            model.get_parameter(f"{name}.linear.weight") for name in (f"encoder.{k}", f"decoder.{2 - k}")
        )
        assert down.shape == up.T.shape
    for side in (model.encoder, model.decoder):
        assert [type(layer.activation).__name__ for layer in side] == ["Sigmoid", "Sigmoid", "Identity"]


@pytest.mark.parametrize("code_size", [0, -3])
def test_a_code_has_at_least_one_number(code_size):
    for model in (Autoencoder, ConvolutionalAutoencoder):
        with pytest.raises(ValueError, match=f"code_size={code_size}"):
            model((1, 28, 28), code_size)
        with pytest.raises(ValueError, match=r"hidden_sizes=\[8, 0\]"):
            model((1, 28, 28), 3, hidden_sizes=[8, 0])


def test_a_convolutional_one_has_a_convolution():
    with pytest.raises(ValueError, match="num_filters is empty"):
        ConvolutionalAutoencoder((1, 28, 28), 10, [])


def test_too_many_strides_for_the_image_are_refused():
    with pytest.raises(ValueError, match="kernel_size=4 does not fit maps of 1x1"):
        ConvolutionalAutoencoder((1, 28, 28), 10, [4, 4, 4, 4, 4])
