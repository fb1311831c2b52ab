"""Captioner of clips: at once and step by step, what padding and order change, what each encoder is."""

from typing import Literal

import pytest
import torch

from modules.models.convolutional.resnet import ResNet
from modules.models.multimodal.video_captioner import VideoCaptioner

CLIPS = torch.rand(3, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LENGTH = torch.tensor([5, 1, 3])
CAPTIONS = torch.tensor([[2, 5, 6, 7], [2, 4, 3, 0], [2, 7, 7, 3]])
Encoder = Literal["mean", "recurrent"]


def captioner(encoder: Encoder, attention: str = "additive", directions: str = "forwards") -> VideoCaptioner:
    torch.manual_seed(0)
    backbone = ResNet((3, 32, 32), None, 1, (4, 6), stem="large")
    model = VideoCaptioner(
        ("frames", 3, 32, 32),
        backbone,  # pyright: ignore[reportArgumentType]
        9,
        encoder,
        frame_size=8,
        encoder_size=6,
        directions=directions,  # pyright: ignore[reportArgumentType]
        attention=attention,  # pyright: ignore[reportArgumentType]
        embedding_size=5,
        hidden_size=6,
    )
    return model.eval()


@pytest.mark.parametrize("encoder", ["mean", "recurrent"])
@pytest.mark.parametrize("attention", ["none", "general", "additive"])
def test_a_caption_at_once_is_the_same_step_by_step(encoder: Encoder, attention: str) -> None:
    model = captioner(encoder, attention)
    whole = model(CLIPS, LENGTH, CAPTIONS)
    state = model.start(CLIPS, LENGTH)
    for place, token in enumerate(CAPTIONS.unbind(1)):
        logits, state = model.step(token, state)
        torch.testing.assert_close(logits, whole[:, place])


@pytest.mark.parametrize("directions", ["forwards", "both"])
@pytest.mark.parametrize("encoder", ["mean", "recurrent"])
@pytest.mark.parametrize("attention", ["none", "additive"])
def test_a_clip_is_described_as_if_it_were_alone(encoder: Encoder, attention: str, directions: str) -> None:
    model = captioner(encoder, attention, directions)
    clips = CLIPS.clone()
    clips[1, 1:], clips[2, 3:] = 0.7, 0.3
    together = model(clips, LENGTH, CAPTIONS)
    for row, length in enumerate(LENGTH.tolist()):
        alone = model(CLIPS[row : row + 1, :length], LENGTH[row : row + 1], CAPTIONS[row : row + 1])
        torch.testing.assert_close(together[row], alone[0])


def test_attention_is_a_distribution_over_the_frames_that_there_are() -> None:
    _, weights = captioner("recurrent").attended(CLIPS, LENGTH, CAPTIONS)
    assert weights is not None and weights.shape == (3, 4, 5)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 4))
    assert (weights[1, :, 1:] == 0).all() and (weights[2, :, 3:] == 0).all()
    assert captioner("recurrent", "none").attended(CLIPS, LENGTH, CAPTIONS)[1] is None


def test_a_mean_forgets_the_order_of_frames_and_a_recurrent_layer_does_not() -> None:
    back = CLIPS.flip(1)
    length = torch.full((3,), 5)
    for attention in ("none", "additive"):
        model = captioner("mean", attention)
        torch.testing.assert_close(model(back, length, CAPTIONS), model(CLIPS, length, CAPTIONS))
    model = captioner("recurrent")
    assert not torch.allclose(model(back, length, CAPTIONS), model(CLIPS, length, CAPTIONS), atol=1e-4)


def test_the_encoders_are_a_mean_and_torchs_lstm() -> None:
    mean, recurrent = captioner("mean", "none"), captioner("recurrent")
    features = mean.frames(CLIPS, LENGTH)
    decoder = mean.decoder
    zeros = torch.zeros(1, 6)
    hidden, cell = decoder.cell(decoder.first_input(features[2:, :3].mean(1)), (zeros, zeros))
    _, (first_hidden, first_cell) = mean.start(CLIPS, LENGTH)
    torch.testing.assert_close((first_hidden[2:], first_cell[2:]), (hidden, cell))
    lstm = torch.nn.LSTM(8, 6, batch_first=True)
    assert recurrent.layers is not None
    weights = recurrent.layers[0].cell.state_dict()  # pyright: ignore
    lstm.load_state_dict({f"{name}_l0": value for name, value in weights.items()})
    places, keep = recurrent.places(CLIPS, LENGTH)
    assert keep.sum(1).tolist() == LENGTH.tolist()
    torch.testing.assert_close(places[0], lstm(recurrent.frames(CLIPS, LENGTH))[0][0])
