"""Captioner: a caption at once and step by step, where is looked, and what tells left from right."""

import pytest
import torch

from modules.models.convolutional.resnet import ResNet
from modules.models.multimodal.captioner import Captioner

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
CAPTIONS = torch.tensor([[2, 5, 6, 7], [2, 4, 3, 0], [2, 7, 7, 3]])


def captioner(attention: str, stride: int = 8) -> Captioner:
    torch.manual_seed(0)
    backbone = ResNet((3, 32, 32), None, 1, (4, 6), stem="large")
    return Captioner((3, 32, 32), backbone, 9, stride, attention, None, 5, 6).eval()  # pyright: ignore


@pytest.mark.parametrize("attention", ["none", "general", "additive"])
def test_a_caption_at_once_is_the_same_step_by_step(attention: str) -> None:
    model = captioner(attention)
    whole = model(IMAGES, CAPTIONS)
    state = model.start(IMAGES)
    for place, token in enumerate(CAPTIONS.unbind(1)):
        logits, state = model.step(token, state)
        torch.testing.assert_close(logits, whole[:, place])


def test_attention_is_a_distribution_over_the_cells() -> None:
    model = captioner("additive")
    logits, weights = model.attended(IMAGES, CAPTIONS)
    assert model.cells(IMAGES) == (4, 4)
    assert weights is not None and weights.shape == (3, 4, 16)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 4))
    torch.testing.assert_close(logits, model(IMAGES, CAPTIONS))
    assert captioner("none").attended(IMAGES, CAPTIONS)[1] is None


def test_show_and_tell_reads_the_image_before_the_first_token() -> None:
    """Equations 10-12 by torch's own LSTM: the image, then the tokens."""
    model = captioner("none")
    decoder = model.decoder
    places, _ = model.places(IMAGES)
    inputs = torch.cat([decoder.first_input(places), decoder.embedding(CAPTIONS)], 1)
    lstm = torch.nn.LSTM(5, 6, batch_first=True)
    lstm.load_state_dict({f"{name}_l0": value for name, value in decoder.cell.state_dict().items()})
    hidden, _ = lstm(inputs)
    torch.testing.assert_close(model(IMAGES, CAPTIONS), decoder.output(decoder.from_state(hidden[:, 1:])))


def test_cells_say_where_they_lie() -> None:
    """Rows first, from -1 to 1: a mirrored image of one colour looks the same but for this."""
    places, keep = captioner("additive").places(IMAGES)
    assert places.shape == (3, 16, 8) and keep.all()
    rows, columns = places[0, :, 6].view(4, 4), places[0, :, 7].view(4, 4)
    torch.testing.assert_close(rows[:, 0], torch.linspace(-1, 1, 4))
    torch.testing.assert_close(columns[0], torch.linspace(-1, 1, 4))


def test_a_stride_without_a_map_is_refused() -> None:
    with pytest.raises(ValueError, match=r"maps of strides \[4, 8\]"):
        captioner("additive", 16)
