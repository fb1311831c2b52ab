import pytest
import torch

from modules.bricks.resizing import Resize


def test_a_slope_stays_a_slope():
    image = torch.linspace(0, 1, 28).expand(1, 1, 28, 28)
    larger = Resize(50, 100)(image)
    assert larger.shape == (1, 1, 50, 100)
    steps = larger[0, 0, 0].diff()[2:-2]  # beyond the outermost centres the border is repeated
    torch.testing.assert_close(steps, torch.full_like(steps, 28 / 100 / 27))


def test_a_fine_pattern_becomes_grey_when_it_is_made_smaller():
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 1, 64, 64)
    torch.testing.assert_close(Resize(8, 8)(stripes), torch.full((1, 1, 8, 8), 0.5), atol=0.05, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_precision_stays(dtype):
    image = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0)).to(dtype)
    resized = Resize(20, 40)(image)
    assert resized.dtype == dtype
    torch.testing.assert_close(resized, Resize(20, 40)(image.float()), check_dtype=False, atol=4e-3, rtol=0)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match="height_px=0, width_px=5"):
        Resize(0, 5)
