"""CIDEr: how much a caption has of what is peculiar to the captions that people gave.

Vedantam, Zitnick & Parikh (2015), *CIDEr: consensus-based image description evaluation*, arXiv 1411.5726,
equations 1-4: for n = 1..4 the cosine of n-grams weighted by how often they come here and how rare they are
over all images, averaged over references and n, times 10 as is customary. Not stemmed.
"""

import math
from collections import Counter
from collections.abc import Sequence

_LONGEST = 4
Vector = dict[tuple[str, ...], float]


def cider(written: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The score of each caption, 0..10.

    Args:
        written: a caption of each image; words between spaces.
        references: those that people gave, at least one an image.

    Raises:
        ValueError: an image has no reference, or there is not a caption for each.
    """
    if len(written) != len(references) or not all(references):
        raise ValueError(f"{len(written)} captions, references of {sum(map(bool, references))} images")
    scores = [0.0] * len(written)
    for n in range(1, _LONGEST + 1):
        counted = [[_grams(text, n) for text in some] for some in references]
        frequency = Counter(gram for some in counted for gram in set().union(*some))
        for number, text in enumerate(written):
            own = _weighted(_grams(text, n), frequency, len(references))
            others = [_weighted(one, frequency, len(references)) for one in counted[number]]
            scores[number] += 10 / _LONGEST * sum(_cosine(own, one) for one in others) / len(others)
    return scores


def _grams(text: str, n: int) -> Counter[tuple[str, ...]]:
    words = text.split()
    return Counter(tuple(words[place : place + n]) for place in range(len(words) - n + 1))


def _weighted(
    grams: Counter[tuple[str, ...]], frequency: Counter[tuple[str, ...]], num_images: int
) -> Vector:
    total = sum(grams.values())
    return {
        gram: count / total * math.log(num_images / max(1, frequency[gram])) for gram, count in grams.items()
    }


def _cosine(one: Vector, other: Vector) -> float:
    lengths = math.prod(math.sqrt(sum(weight**2 for weight in each.values())) for each in (one, other))
    return sum(weight * other.get(gram, 0.0) for gram, weight in one.items()) / lengths if lengths else 0.0
