import torch

from modules.bricks.standardisation import Standardisation


def test_mean_becomes_zero_and_spread_one():
    brick = Standardisation((0.5, 0.25, 0.0), spread=0.25)
    image = torch.tensor([0.5, 0.5, 0.5])[None, :, None, None].expand(2, 3, 4, 5)
    assert brick(image)[1, :, 3, 4].tolist() == [0, 1, 2]
    assert brick.state_dict() == {}


def test_a_grey_image_goes_into_every_channel():
    brick = Standardisation((0.5, 0.25, 0.0), spread=0.5)
    assert brick(torch.full((2, 1, 1, 1), 0.5))[0, :, 0, 0].tolist() == [0, 0.5, 1]
