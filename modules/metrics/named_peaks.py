"""Peaks of heat maps against the objects of an image: how many are found, and named rightly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from jaxtyping import Float, Int


@dataclass(frozen=True)
class ObjectsAndPeaks:
    """Objects and peaks of one image.

    Attributes:
        centres: of the objects, x and y in pixels.
        labels: their class numbers.
        places: of the peaks, x and y in pixels, hottest first.
        scores: theirs.
        classes: theirs.
    """

    centres: Float[numpy.ndarray, "objects 2"]
    labels: Int[numpy.ndarray, " objects"]
    places: Float[numpy.ndarray, "peaks 2"]
    scores: Float[numpy.ndarray, " peaks"]
    classes: Int[numpy.ndarray, " peaks"]


@dataclass(frozen=True)
class PeakCounts:
    """Of some images.

    Attributes:
        objects: that are there.
        peaks: that count.
        named: objects with a peak of their class.
        found: objects with a peak of any class.
    """

    objects: int
    peaks: int
    named: int
    found: int

    @property
    def precision(self) -> float:
        """Share of the peaks that name an object."""
        return self.named / self.peaks if self.peaks else 0.0

    @property
    def recall(self) -> float:
        """Share of the objects that are named."""
        return self.named / self.objects if self.objects else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.named / max(1, self.objects + self.peaks)


def count_peaks(images: Sequence[ObjectsAndPeaks], min_score: float, distance_px: float) -> PeakCounts:
    """Counts the peaks that stand for an object, each the nearest that no hotter peak stands for.

    Args:
        images: with what was found on them.
        min_score: from which on a peak counts.
        distance_px: how far from the middle of an object a peak may lie, along either axis.
    """
    objects = peaks = named = found = 0
    for image in images:
        counted = image.scores >= min_score
        places, classes = image.places[counted], image.classes[counted]
        objects += len(image.labels)
        peaks += len(places)
        named += _pairs(image, places, classes, distance_px)
        found += _pairs(image, places, None, distance_px)
    return PeakCounts(objects, peaks, named, found)


def _pairs(
    image: ObjectsAndPeaks, places: numpy.ndarray, classes: numpy.ndarray | None, most_px: float
) -> int:
    free = numpy.ones(len(image.labels), bool)
    count = 0
    for number, place in enumerate(places):
        distance = numpy.abs(image.centres - place).max(axis=1, initial=0.0)
        fits = free & (distance <= most_px)
        if classes is not None:
            fits &= image.labels == classes[number]
        if fits.any():
            free[int(numpy.where(fits, distance, numpy.inf).argmin())] = False
            count += 1
    return count
