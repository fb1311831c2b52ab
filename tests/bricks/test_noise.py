import pytest
import torch

from modules.bricks.noise import GaussianNoise, MaskingNoise


def test_masking_leaves_the_rest_as_it_is():
    torch.manual_seed(0)
    inputs = torch.rand(50, 1, 28, 28) + 1
    masked = MaskingNoise(0.3)(inputs)
    gone = masked == 0
    assert gone.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(masked[~gone], inputs[~gone])
    assert torch.equal(MaskingNoise(0.0)(inputs), inputs)
    assert not MaskingNoise(1.0)(inputs).any()


def test_gaussian_noise_has_mean_0_and_the_given_deviation():
    torch.manual_seed(0)
    added = GaussianNoise(0.5)(torch.ones(100, 1, 28, 28)) - 1
    assert added.mean().item() == pytest.approx(0, abs=0.01)
    assert added.std().item() == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(ValueError, match="is not between 0 and 1"):
        MaskingNoise(share)
    with pytest.raises(ValueError, match="is negative"):
        GaussianNoise(-1.0)
