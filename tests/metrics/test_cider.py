"""CIDEr by hand, and its bounds."""

import pytest

from modules.metrics.cider import cider


def test_one_word_by_hand() -> None:
    """Unigrams alone have a score: cat is in both images' references, red in one."""
    found = cider(["red cat", "cat"], [["red cat"], ["black cat"]])
    # Of the first both unigrams and the bigram agree: 1 each for n = 1, 2. `cat` itself weighs log 1 = 0.
    assert found[0] == pytest.approx(10 / 4 * 2)
    assert found[1] == 0


def test_references_are_averaged() -> None:
    references = [["a b", "c d"], ["e f"], ["g h"]]
    assert cider(["a b", "e f", "x y"], references) == pytest.approx([10 / 4 * 2 / 2, 10 / 4 * 2, 0])


def test_what_is_said_of_every_image_counts_nothing() -> None:
    assert cider(["a dog", "a dog"], [["a dog"], ["a dog"]]) == [0, 0]


def test_an_image_without_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="2 captions, references of 1 images"):
        cider(["a", "b"], [["a"], []])
