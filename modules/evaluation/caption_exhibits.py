"""What a report shows of captions, of images or of clips."""

import numpy as np

from modules.evaluation.captions import Captions
from modules.evaluation.exhibits import TextTable
from modules.evaluation.findings import Series

_NUM_ROWS = 20
BY_LENGTH = (
    "Right captions by length",
    "Share of the captions that are right word by word, by how many words the first right one has.",
    "lines",
    "words",
    "share right",
)
"""Title, caption, kind and axes of a chart of right captions."""


def examples_table(found: Captions, nearest: list[str], nearest_column: str) -> TextTable:
    """Some that are wrong, then some spread over the split.

    Args:
        found: of the test split.
        nearest: what the training sample that looks most alike is called.
        nearest_column: heading of these.
    """
    right = [text in some for text, some in zip(found.written, found.references, strict=True)]
    wrong = [number for number, is_right in enumerate(right) if not is_right][: _NUM_ROWS // 2]
    spread = np.linspace(0, len(right) - 1, _NUM_ROWS // 2).astype(int).tolist()
    rows = [
        [found.references[n][0], found.written[n], found.of_beam[n], nearest[n]]
        for n in dict.fromkeys([*wrong, *spread])
    ]
    caption = "First some that are not right, then some spread over the test split."
    columns = ["right", "greedy", "beam search", nearest_column]
    return TextTable("examples", "Captions", caption, columns, rows)


def series_by_length(found: Captions) -> list[Series]:
    """The share of right captions by their number of words; see `BY_LENGTH`."""
    lengths = np.array([len(some[0].split()) for some in found.references])
    right = np.array([text in some for text, some in zip(found.written, found.references, strict=True)])
    points = [(float(n), float(right[lengths == n].mean())) for n in np.unique(lengths)]
    return [Series("greedy", points)]
