"""Labeller of frames: padding counts nowhere; with no recurrent layer each frame stands alone."""

import pytest
import torch

from modules.models.convolutional.resnet import ResNet
from modules.models.multimodal.frame_labeller import FrameLabeller

CLIPS = torch.rand(3, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LENGTH = torch.tensor([5, 1, 3])


def labeller(num_layers: int, directions: str = "both") -> FrameLabeller:
    torch.manual_seed(0)
    backbone = ResNet((3, 32, 32), None, 1, (4, 6), stem="large")
    return FrameLabeller(
        ("frames", 3, 32, 32),
        backbone,  # pyright: ignore[reportArgumentType]
        4,
        frame_size=8,
        hidden_size=6,
        num_layers=num_layers,
        directions=directions,  # pyright: ignore
    ).eval()


@pytest.mark.parametrize("num_layers", [0, 1, 2])
def test_a_clip_is_labelled_as_if_it_were_alone(num_layers: int) -> None:
    model = labeller(num_layers)
    clips = CLIPS.clone()
    clips[1, 1:], clips[2, 3:] = 0.7, 0.3
    together = model(clips, LENGTH)
    assert together.shape == (3, 5, 4)
    for row, length in enumerate(LENGTH.tolist()):
        alone = model(CLIPS[row : row + 1, :length], LENGTH[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0])


def test_who_sees_what_comes_after() -> None:
    """The label of the third frame, as the last, the first or neither changes."""
    length = torch.full((3,), 5)
    for num_layers, directions, sees in (
        (0, "both", ""),
        (1, "forwards", "first"),
        (1, "both", "first last"),
    ):
        model = labeller(num_layers, directions)
        before = model(CLIPS, length)[:, 2]
        for name, place in (("first", 0), ("last", 4)):
            clips = CLIPS.clone()
            clips[:, place] = 1 - clips[:, place]
            assert torch.equal(model(clips, length)[:, 2], before) == (name not in sees)
