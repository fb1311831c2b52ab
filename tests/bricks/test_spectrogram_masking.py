"""Masks: whole bands and spans of time, no more than was allowed, inside each sample, in training alone."""

import torch

from modules.bricks.spectrogram_masking import SpectrogramMasking


def test_whole_bands_and_spans_within_each_sample_are_hidden() -> None:
    torch.manual_seed(0)
    masking = SpectrogramMasking(1, 3, 1, 5, max_share=0.2)
    features, frames = torch.ones(400, 30, 8), torch.tensor([30, 10] * 200)
    hidden = masking(features, frames) == 0
    bands, times = hidden.all(dim=1), hidden.all(dim=2)
    assert (hidden == (bands[:, None] | times[:, :, None])).all()
    assert set(bands.sum(dim=1).tolist()) == {0, 1, 2, 3} and bands.any(dim=0).all()
    assert set(times[::2].sum(dim=1).tolist()) == {0, 1, 2, 3, 4, 5} and times.any(dim=0).all()
    assert set(times[1::2].sum(dim=1).tolist()) == {0, 1, 2} and not times[1::2, 10:].any()
    assert (bands.diff(dim=1, prepend=torch.zeros(400, 1, dtype=torch.bool)).sum(dim=1) <= 2).all(), (
        "one span"
    )
    assert (masking.eval()(features, frames) == features).all()
