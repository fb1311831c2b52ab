"""Levels of what is shown in a gallery."""

import torch

from modules.evaluation.image_tiles import pixels, tiles


def test_maps_of_many_channels_are_shown_by_their_mean() -> None:
    maps = torch.zeros(8, 2, 3)
    maps[:4, 0, 1] = 40.0
    maps[:, 1, 2] = -4.0
    shown = pixels(maps)
    assert shown.shape == (2, 3)
    assert (shown[0, 1], shown[1, 2]) == (255, 0)
    assert shown[0, 0] == round(255 * 4 / 24)
    assert tiles(torch.stack([maps, maps]), columns=2, scale=1).ndim == 2
    assert not pixels(torch.full((2, 2, 2), 3.0)).any()


def test_images_keep_their_levels() -> None:
    grey = torch.tensor([[[0.0, 0.5], [1.0, 2.0]]])
    assert pixels(grey).tolist() == [[0, 128], [255, 255]]
    assert pixels(grey.expand(3, -1, -1)).shape == (2, 2, 3)
