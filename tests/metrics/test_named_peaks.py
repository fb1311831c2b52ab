"""Peaks against objects: which count, by hand."""

import numpy
import pytest

from modules.metrics.named_peaks import ObjectsAndPeaks, count_peaks


def image(places: list, scores: list[float], classes: list[int]) -> ObjectsAndPeaks:
    """Objects of the classes 0 and 1 at (10, 10) and (30, 10)."""
    return ObjectsAndPeaks(
        numpy.array([[10.0, 10.0], [30.0, 10.0]]),
        numpy.array([0, 1]),
        numpy.array(places, float).reshape(-1, 2),
        numpy.array(scores),
        numpy.array(classes, int),
    )


@pytest.mark.parametrize(
    ("places", "scores", "classes", "named", "found"),
    [
        ([[10, 10], [30, 10]], [0.9, 0.8], [0, 1], 2, 2),
        ([[10, 10], [30, 10]], [0.9, 0.8], [1, 0], 0, 2),  # found, and called by the other's name
        ([[10, 15], [30, 16]], [0.9, 0.8], [0, 1], 1, 1),  # 5 px away counts, 6 px does not
        ([[10, 10], [11, 10]], [0.9, 0.8], [0, 0], 1, 1),  # an object is found once
        ([[10, 10], [30, 10]], [0.9, 0.4], [0, 1], 1, 1),  # below the least score
        ([], [], [], 0, 0),
    ],
)
def test_counts(places: list, scores: list[float], classes: list[int], named: int, found: int) -> None:
    counts = count_peaks([image(places, scores, classes)] * 2, 0.5, 5.0)
    peaks = sum(score >= 0.5 for score in scores)
    assert (counts.objects, counts.peaks, counts.named, counts.found) == (4, 2 * peaks, 2 * named, 2 * found)
    assert counts.recall == named / 2 and counts.precision == (named / peaks if peaks else 0.0)
    harmonic = 2 / (1 / counts.precision + 1 / counts.recall) if named else 0.0
    assert counts.f1 == pytest.approx(harmonic)


def test_a_page_without_objects_or_peaks() -> None:
    empty = ObjectsAndPeaks(
        *(
            numpy.zeros(shape, kind)
            for shape, kind in ((((0, 2), float), (0, int), ((0, 2), float), (0, float), (0, int)))
        )
    )
    counts = count_peaks([empty], 0.5, 5.0)
    assert (counts.f1, counts.precision, counts.recall) == (0.0, 0.0, 0.0)
