"""Upsampling that begins as bilinear interpolation."""

import pytest
import torch
from torch.nn import functional

from modules.bricks.learned_upsampling import LearnedUpsampling


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_it_begins_as_torchs_bilinear_interpolation_away_from_the_border(factor: int) -> None:
    maps = torch.rand(2, 3, 6, 7)
    found = LearnedUpsampling(3, factor)(maps)
    expected = functional.interpolate(maps, scale_factor=factor, mode="bilinear")
    assert found.shape == expected.shape
    inside = slice(factor, -factor)
    torch.testing.assert_close(found[:, :, inside, inside], expected[:, :, inside, inside])


def test_refused() -> None:
    with pytest.raises(ValueError, match="factor=3"):
        LearnedUpsampling(2, 3)
