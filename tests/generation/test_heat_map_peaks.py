"""Peaks of maps by hand."""

import pytest
import torch

from modules.generation.heat_map_peaks import peaks


def test_the_hottest_places_and_none_beside_them() -> None:
    heat = torch.zeros(1, 2, 6, 8)
    heat[0, 1, 2, 3], heat[0, 0, 2, 4], heat[0, 0, 5, 7] = 0.9, 0.5, 0.4
    places, scores, classes = peaks(heat, first_px=2.0, stride_px=4.0, max_peaks=4, distance_px=8.0)
    assert scores[0].tolist() == pytest.approx([0.9, 0.4, 0.0, 0.0])
    assert classes[0, :2].tolist() == [1, 0]
    # Columns 3 and 4 by their heat; the corner alone.
    across = 2 + 4 * (3 * 0.9 + 4 * 0.5) / 1.4
    assert places[0, 0].tolist() == pytest.approx([across, 10.0])
    assert places[0, 1].tolist() == pytest.approx([30.0, 22.0])


def test_an_image_with_fewer_places_than_peaks() -> None:
    places, scores, _ = peaks(torch.full((2, 3, 1, 1), 0.5), 5.0, 4.0, max_peaks=7, distance_px=4.0)
    assert places.shape == (2, 7, 2) and scores[:, 0].tolist() == [0.5, 0.5]
    assert (scores[:, 1:] == 0).all()
