"""Log-mel features against those of NumPy frame by frame and beside padding."""

import numpy as np
import pytest
import torch

from modules.bricks.log_mel import FLOOR, LogMel


def by_numpy(sound: np.ndarray, rate: int, num_mels: int, window: int, hop: int, size: int) -> np.ndarray:
    """HTK's scale, triangles of height 1; frames from the begin, a periodic Hann window."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frequencies = np.arange(size // 2 + 1) * rate / size
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), num_mels + 2) / 2595) - 1)
    found = []
    for begin in range(0, len(sound), hop):
        frame = np.zeros(size)
        part = sound[begin : begin + window]
        frame[: len(part)] = part * hann[: len(part)]
        turns = np.exp(-2j * np.pi * np.outer(np.arange(size // 2 + 1), np.arange(size)) / size)
        power = np.abs(turns @ frame) ** 2
        bands = [
            np.interp(frequencies, corners[band : band + 3], [0.0, 1.0, 0.0]) @ power
            for band in range(num_mels)
        ]
        found.append(np.log(np.maximum(bands, FLOOR)))
    return np.stack(found)


@pytest.mark.parametrize(
    ("rate", "num_mels", "size", "samples"), [(8000, 40, 256, 1600), (16000, 64, 512, 777)]
)
def test_features_are_those_of_the_definition(rate: int, num_mels: int, size: int, samples: int) -> None:
    rng = np.random.default_rng(0)
    sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate) + 0.1 * rng.normal(size=samples)
    sound[samples // 2 :] *= 1e-4  # down to silence
    brick = LogMel(rate, num_mels, 0.025, 0.01)
    found = brick(torch.from_numpy(sound).float()[None])[0]
    (frames,) = brick.num_frames(torch.tensor([samples])).tolist()
    expected = by_numpy(sound, rate, num_mels, rate // 40, rate // 100, size)
    np.testing.assert_allclose(found[:frames].numpy(), expected, atol=1e-4)


def test_padding_is_not_heard() -> None:
    brick = LogMel(8000)
    sounds, length = torch.randn(2, 900), torch.tensor([900, 401])
    found, frames = brick(sounds, length), brick.num_frames(length)
    assert frames.tolist() == [12, 6]
    torch.testing.assert_close(found[1, :6], brick(sounds[1:, :401])[0, :6])
    assert (found[1, 6:] == np.log(FLOOR)).all()


def test_settings_that_hold_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="num_mels=90 are too many"):
        LogMel(8000, 90)
    with pytest.raises(ValueError, match="hold no sample"):
        LogMel(8000, 40, 0.025, 0.00001)
