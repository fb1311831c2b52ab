"""Sounds a little faster or slower in training, and with that higher or lower: more voices than recorded.

Ko, Povey, Peddinti & Khudanpur (2015), *Audio augmentation for speech recognition*, Interspeech, section 2.1:
a sound x(t) becomes x(a t). Deviates: a is of a whole batch, uniform in a range, not one of 0.9, 1 and 1.1.
Resampled by cutting or lengthening the spectrum of the whole batch, so that nothing aliases.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class SpeedPerturbation(nn.Module):
    """Plays the sounds of a batch by one random factor faster, in training alone.

    Args:
        max_change: a lies in 1 - max_change..1 + max_change; 0 changes nothing.

    Raises:
        ValueError: `max_change` is not in 0..0.5.
    """

    def __init__(self, max_change: float = 0.1) -> None:
        super().__init__()
        if not 0 <= max_change <= 0.5:
            raise ValueError(f"max_change={max_change} is not in 0..0.5")
        self.max_change = max_change

    def forward(
        self, sounds: Float[Tensor, "batch time"], length: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch changed"], Int[Tensor, " batch"]]:
        """The sounds at another speed, and how many samples each has now; in evaluation as they are.

        Args:
            sounds: padded with zeros.
            length: samples of each.
        """
        # A size that chance decides is none that a symbolic trace could name.
        if not self.training or self.max_change == 0 or sounds.is_meta:
            return sounds, length
        speed = 1 + self.max_change * (2 * torch.rand(()).item() - 1)
        return at_speed(sounds, length, speed)


def at_speed(
    sounds: Float[Tensor, "batch time"], length: Int[Tensor, " batch"], speed: float
) -> tuple[Float[Tensor, "batch changed"], Int[Tensor, " batch"]]:
    """Sounds played so many times as fast, and how many samples each has then, rounded up.

    Args:
        sounds: padded with zeros.
        length: samples of each.
        speed: a; above 0.
    """
    time = sounds.shape[1]
    changed = max(1, round(time / speed))
    spectrum = torch.fft.rfft(sounds.float())
    # irfft cuts what is above half the new sample rate, and puts zeros where it was below.
    found = torch.fft.irfft(spectrum, n=changed) * (changed / time)
    lengths = (length * (changed / time)).ceil().long().clamp(max=changed)
    return found.to(sounds.dtype), lengths
