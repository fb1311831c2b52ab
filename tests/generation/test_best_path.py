"""Best path decoding, by hand and against its definition."""

from itertools import groupby

import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.generation.best_path import best_path, spans


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1, max_size=4))
def test_repeats_are_merged_and_blanks_left_out(paths: list[list[int]]) -> None:
    longest = max(map(len, paths))
    # What follows a sample's frames says label 1 all the time.
    padded = torch.tensor([path + [1] * (longest - len(path)) for path in paths])
    logits = 5.0 * torch.nn.functional.one_hot(padded, 3)
    found = best_path(logits, torch.tensor([len(path) for path in paths]))
    assert found.shape == padded.shape
    for path, row in zip(paths, found.tolist(), strict=True):
        expected = [label for label, _ in groupby(path) if label]
        assert row == expected + [0] * (longest - len(expected))
        assert [label for label, _, _ in spans(logits[0])] == [
            label for label, _ in groupby(padded[0].tolist()) if label
        ]


def test_a_span_holds_the_frames_of_its_label() -> None:
    path = torch.tensor([0, 2, 2, 0, 2, 1, 1, 1])
    logits = torch.nn.functional.one_hot(path, 3).float()
    assert spans(logits) == [(2, 1, 3), (2, 4, 5), (1, 5, 8)]
