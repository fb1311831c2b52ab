"""Speed: a tone of another height and length, of the same loudness, inside each sound, in training alone."""

import math

import pytest
import torch

from modules.bricks.speed_perturbation import SpeedPerturbation, at_speed

RATE_HZ = 8000


@pytest.mark.parametrize("speed", [0.8, 0.95, 1.0, 1.1, 1.25])
def test_a_tone_is_as_much_higher_as_it_is_shorter(speed: float) -> None:
    time = torch.arange(2 * RATE_HZ, dtype=torch.float64) / RATE_HZ
    window = torch.exp(-(((time - 0.8) / 0.1) ** 2))
    tone = (window * torch.sin(2 * math.pi * 500 * time)).float()
    (found,), length = at_speed(tone[None], torch.tensor([12800]), speed)
    assert len(found) == round(2 * RATE_HZ / speed) and abs(length.item() - 12800 / speed) <= 1
    # x(a t), said exactly: the same wave asked at other times.
    asked = torch.arange(len(found), dtype=torch.float64) / RATE_HZ * (2 * RATE_HZ / len(found))
    expected = torch.exp(-(((asked - 0.8) / 0.1) ** 2)) * torch.sin(2 * math.pi * 500 * asked)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


def test_nothing_aliases() -> None:
    time = torch.arange(RATE_HZ, dtype=torch.float64) / RATE_HZ
    tone = torch.sin(2 * math.pi * 3900 * time).float()
    found, _ = at_speed(tone[None], torch.tensor([RATE_HZ]), 1.25)  # would be 4875 Hz
    assert found.abs().max() < 1e-4


def test_each_batch_has_its_own_speed_in_training_alone() -> None:
    torch.manual_seed(0)
    perturbation = SpeedPerturbation(0.1)
    sounds, length = torch.randn(2, 1000), torch.tensor([1000, 400])
    changed = [perturbation(sounds, length) for _ in range(200)]
    sizes = {len(found[0]) for found, _ in changed}
    assert min(sizes) >= 909 and max(sizes) <= 1112 and len(sizes) > 80
    for found, lengths in changed:
        assert lengths[0] == found.shape[1] and abs(lengths[1] - 0.4 * lengths[0]) <= 1
    same, lengths = perturbation.eval()(sounds, length)
    assert same is sounds and lengths is length
    assert SpeedPerturbation(0.0)(sounds, length)[0] is sounds


@pytest.mark.parametrize("change", [-0.1, 0.6])
def test_a_change_that_cannot_be_is_refused(change: float) -> None:
    with pytest.raises(ValueError, match=r"is not in 0\.\.0\.5"):
        SpeedPerturbation(change)
