"""Bands and spans of time of a spectrogram hidden in training, so that a net relies on none alone.

Park et al. (2019), *SpecAugment*, arXiv 1904.08779, section 2: frequency masking (F, m_F) and time masking
(T, m_T, at most a share p of the time). Deviates: no time warping.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class SpectrogramMasking(nn.Module):
    """Sets bands and spans of time to 0, the mean of normalised features; those of each sample its own.

    Args:
        num_band_masks: m_F.
        max_bands: F, the most bands of a mask.
        num_time_masks: m_T.
        max_frames: T, the most frames of a mask.
        max_share: p, the most of a sample's frames that one mask hides.

    Raises:
        ValueError: a number is negative, or `max_share` not in 0..1.
    """

    def __init__(
        self,
        num_band_masks: int = 1,
        max_bands: int = 8,
        num_time_masks: int = 1,
        max_frames: int = 20,
        max_share: float = 0.2,
    ) -> None:
        super().__init__()
        if min(num_band_masks, max_bands, num_time_masks, max_frames) < 0 or not 0 <= max_share <= 1:
            raise ValueError("masks, their bands and frames are none or more, and max_share lies in 0..1")
        self.num_band_masks, self.max_bands = num_band_masks, max_bands
        self.num_time_masks, self.max_frames, self.max_share = num_time_masks, max_frames, max_share

    def forward(
        self, features: Float[Tensor, "batch frames bands"], frames: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frames bands"]:
        """The features with masks; in evaluation as they are.

        Args:
            features: normalised, so that 0 is their mean.
            frames: of each sample.
        """
        if not self.training:
            return features
        _, longest, num_bands = features.shape
        bands = torch.full_like(frames, num_bands)
        for _ in range(self.num_band_masks):
            most = bands.clamp(max=self.max_bands)
            features = features.masked_fill(_span(bands, most, num_bands)[:, None, :], 0.0)
        for _ in range(self.num_time_masks):
            most = (frames * self.max_share).long().clamp(max=self.max_frames)
            features = features.masked_fill(_span(frames, most, longest)[:, :, None], 0.0)
        return features


def _span(
    within: Int[Tensor, " batch"], most: Int[Tensor, " batch"], size: int
) -> Bool[Tensor, "batch size"]:
    """A span of 0 to `most` places of the first `within`, of each sample."""
    chance = torch.rand(2, len(within), device=within.device)
    length = (chance[0] * (most + 1)).long()
    begin = (chance[1] * (within - length + 1)).long()
    places = torch.arange(size, device=within.device)
    return (places >= begin[:, None]) & (places < (begin + length)[:, None])
