"""Average precision by hand."""

import numpy
import pytest

from modules.metrics.average_precision import Objects, ScoredObjects, average_precision


def objects(*rows: tuple[float, ...]) -> Objects:
    """Each row: x0, y0, x1, y1, class."""
    array = numpy.array(rows, float)
    return Objects(array[:, :4], array[:, 4].astype(int))


def found_objects(*rows: tuple[float, ...]) -> ScoredObjects:
    """Each row: x0, y0, x1, y1, class, score."""
    array = numpy.array(rows, float)
    return ScoredObjects(array[:, :4], array[:, 4].astype(int), array[:, 5])


NOTHING = ScoredObjects(numpy.zeros((0, 4)), numpy.zeros(0, int), numpy.zeros(0))
TRUTH = [objects((0, 0, 10, 10, 0), (20, 20, 40, 40, 1)), objects((5, 5, 15, 15, 0))]


def test_all_found() -> None:
    found = [
        found_objects((0, 0, 10, 10, 0, 0.9), (20, 20, 40, 40, 1, 0.8)),
        found_objects((5, 5, 15, 15, 0, 0.7)),
    ]
    precision = average_precision(TRUTH, found, 3)
    assert precision.mean() == precision.mean(0.5) == 1.0
    assert [precision.of_class(number) for number in range(3)] == [1.0, 1.0, None]


def test_half_found_behind_a_wrong_one() -> None:
    """Recall reaches .5 at a precision of .5: 51 of the 101 places have .5, the others nothing."""
    found = [found_objects((60, 60, 70, 70, 0, 0.9), (0, 0, 10, 10, 0, 0.8)), NOTHING]
    precision = average_precision(TRUTH, found, 2)
    assert precision.of_class(0) == pytest.approx(51 / 101 / 2)
    assert precision.of_class(1) == 0.0
    assert precision.recall[0].tolist() == [0.5, 0.0]


def test_overlaps_count() -> None:
    """8 of 10 rows: an overlap of .8, right at .5 to .8 (7 of 10 thresholds)."""
    found = [found_objects((0, 0, 10, 8, 0, 0.9)), found_objects((5, 5, 15, 13, 0, 0.8))]
    precision = average_precision(TRUTH, found, 1)
    assert precision.mean() == pytest.approx(0.7)
    assert (precision.mean(0.5), precision.mean(0.8), precision.mean(0.85)) == (1.0, 1.0, 0.0)


def test_small_objects_alone() -> None:
    found = [found_objects((0, 0, 10, 10, 0, 0.9), (60, 60, 90, 90, 0, 0.95)), NOTHING]
    # The class 1 object of 20 px is left out, and so is the large wrong box.
    precision = average_precision(TRUTH, found, 2, below_px=16)
    assert precision.of_class(0, 0.5) == pytest.approx(51 / 101)
    assert precision.of_class(1) is None


def test_nothing_found() -> None:
    precision = average_precision(TRUTH, [NOTHING, NOTHING], 3)
    assert precision.mean() == 0.0 and precision.of_class(2) is None
