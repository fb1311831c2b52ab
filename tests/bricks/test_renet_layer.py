"""A ReNet layer: column by column, then row by row, as one would write it down."""

import torch

from modules.bricks.image_patches import grid_patches, image_patches
from modules.bricks.renet_layer import ReNetLayer


def test_it_is_both_directions_down_columns_and_then_along_rows() -> None:
    torch.manual_seed(0)
    layer = ReNetLayer(3, 4).double()
    grid = torch.randn(2, 3, 5, 3, dtype=torch.float64)
    down = torch.empty(2, 3, 5, 8, dtype=torch.float64)
    for column in range(5):
        onwards, _ = layer.columns.forwards(grid[:, :, column])
        back, _ = layer.columns.backwards(grid[:, :, column].flip(1))
        down[:, :, column] = torch.cat([onwards, back.flip(1)], dim=-1)
    expected = torch.empty_like(down)
    for row in range(3):
        onwards, _ = layer.rows.forwards(down[:, row])
        back, _ = layer.rows.backwards(down[:, row].flip(1))
        expected[:, row] = torch.cat([onwards, back.flip(1)], dim=-1)
    torch.testing.assert_close(layer(grid), expected)


def test_every_place_has_seen_the_whole_image() -> None:
    torch.manual_seed(0)
    layer = ReNetLayer(1, 4).double()
    grid = torch.randn(1, 4, 6, 1, dtype=torch.float64, requires_grad=True)
    for row, column in ((0, 0), (3, 5), (1, 2)):
        (gradient,) = torch.autograd.grad(layer(grid)[0, row, column].sum(), grid)
        assert (gradient != 0).all()


def test_patches_are_the_pixels_of_each_square() -> None:
    images = torch.arange(2 * 4 * 6.0).view(1, 2, 4, 6)
    patches = image_patches(images, 2)
    assert patches.shape == (1, 2, 3, 8)
    assert patches[0, 1, 2].tolist() == images[0, :, 2:4, 4:6].flatten().tolist()
    assert torch.equal(grid_patches(images.movedim(1, -1), 2), patches)
