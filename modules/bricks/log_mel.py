"""Log-mel features: how loud a sound is in bands as wide as the ear's, every few milliseconds.

Davis & Mermelstein (1980), *Comparison of parametric representations for monosyllabic word recognition in
continuously spoken sentences*, IEEE ASSP 28, without the last step, the cosine transform. The scale is that
of HTK (Young et al. 2006, *The HTK book*, section 5.4): mel(f) = 2595 log10(1 + f / 700). Filters are
triangles over frequency of height 1, their corners evenly spaced on it from 0 to half the sample rate.
Deviates: power, not magnitude; frames are not centred, the first begins with the sound.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.padding import kept

FLOOR = 1e-6
"""Power below which a band is silent: one that holds a sine of full scale has thousands."""


class LogMel(nn.Module):
    """The logarithm of the power of a sound in bands.

    Args:
        sample_rate_hz: of the sounds.
        num_mels: bands.
        window_s: a frame, under a Hann window.
        hop_s: from the begin of a frame to that of the next.

    Raises:
        ValueError: a window or hop is of no sample, or a band so narrow that it holds no frequency of the
            Fourier transform.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, sample_rate_hz: int, num_mels: int = 40, window_s: float = 0.025, hop_s: float = 0.01
    ) -> None:
        super().__init__()
        self.window_size, self.hop = round(window_s * sample_rate_hz), round(hop_s * sample_rate_hz)
        if self.window_size < 1 or self.hop < 1:
            raise ValueError(f"window_s={window_s} and hop_s={hop_s} hold no sample at {sample_rate_hz} Hz")
        self.transform_size = 2 ** math.ceil(math.log2(self.window_size))
        filters = torch.tensor(
            mel_filters(sample_rate_hz, self.transform_size, num_mels), dtype=torch.float64
        )
        # Constants: another setting is another net, not other weights.
        window = torch.hann_window(self.window_size, periodic=True, dtype=torch.float64)
        self.register_buffer("window", window.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def num_frames(self, length: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """Frames of sounds of some lengths: one for each hop that is begun."""
        return (length + self.hop - 1) // self.hop

    def forward(
        self, sounds: Float[Tensor, "batch time"], length: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch frames mels"]:
        """The features of every frame, and of one or two of silence that `num_frames` does not count.

        What a frame reaches beyond its sound's end is zeros.

        Args:
            sounds: in -1..1.
            length: samples of each; None = all.
        """
        if length is not None:
            sounds = sounds * kept(length, sounds)
        frames = functional.pad(sounds, (0, self.window_size + self.hop)).unfold(
            1, self.window_size, self.hop
        )
        spectrum = torch.fft.rfft(frames.to(self.window.dtype) * self.window, n=self.transform_size)
        power = spectrum.real.square() + spectrum.imag.square()
        # Autocast leaves 64 bits alone; in its 16 a logarithm would be too coarse.
        bands = power.double() @ self.filters
        return bands.clamp(FLOOR).log().to(self.window.dtype)


def mel_filters(sample_rate_hz: int, transform_size: int, num_mels: int) -> list[list[float]]:
    """The weight in each band of each frequency of a Fourier transform, [bins, mels].

    Args:
        sample_rate_hz: of the sounds.
        transform_size: samples that are transformed.
        num_mels: bands.

    Raises:
        ValueError: a band holds no frequency.
    """
    highest = 2595 * math.log10(1 + sample_rate_hz / 2 / 700)
    corners = [700 * (10 ** (highest * n / (num_mels + 1) / 2595) - 1) for n in range(num_mels + 2)]
    bins = [n * sample_rate_hz / transform_size for n in range(transform_size // 2 + 1)]
    weights = [
        [max(0.0, min((hz - left) / (top - left), (right - hz) / (right - top))) for hz in bins]
        for left, top, right in zip(corners, corners[1:], corners[2:], strict=False)
    ]
    if not all(any(band) for band in weights):
        raise ValueError(
            f"num_mels={num_mels} are too many for a Fourier transform of {transform_size} samples"
        )
    return [list(bin_weights) for bin_weights in zip(*weights, strict=True)]
