"""From a sound to a label or a blank for every few hundredths of a second.

Graves, Mohamed & Hinton (2013), *Speech recognition with deep recurrent neural networks*, arXiv 1303.5778,
section 3.1: bidirectional LSTM layers trained by connectionist temporal classification. Strided convolutions
below them, so that layers take fewer steps: Amodei et al. (2015), *Deep Speech 2*, arXiv 1512.02595, sections
3.5 and 3.6. Deviates: log-mel features; batch normalisation of the convolutions alone, whose means in
training are of the padding too.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.convolution import ConvolutionLayer
from modules.bricks.log_mel import LogMel
from modules.bricks.padding import kept
from modules.bricks.recurrent_layer import CellName, recurrent_layers, through_layers
from modules.bricks.spectrogram_masking import SpectrogramMasking
from modules.bricks.speed_perturbation import SpeedPerturbation


class SpeechRecogniser(nn.Module):
    """From sounds to logits of each frame; once trained, what a sound is padded with changes nothing.

    Args:
        sample_rate_hz: of the sounds.
        num_labels: labels, the blank included.
        num_mels: bands of the log-mel features.
        window_s: of the features.
        hop_s: of the features.
        num_filters: of each convolution of 3x3, each of which halves time and bands; may be none.
        hidden_size: of the state of each direction of each recurrent layer.
        num_layers: recurrent layers.
        cell: see `modules.bricks.recurrent_layer`.
        dropout: share of each recurrent layer's inputs, and of what the logits are made of, set to zero in
            training.
        num_masks: bands, and as many spans of time, that are hidden of each sound in training.
        max_masked_mels: the most bands of one mask.
        max_masked_frames: the most frames of one mask.
        max_speed_change: how much faster or slower the sounds of a batch are played in training at most: 0.1
            is from 0.9 to 1.1 times as fast.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        num_labels: int,
        num_mels: int = 40,
        window_s: float = 0.025,
        hop_s: float = 0.01,
        num_filters: Sequence[int] = (16, 32, 32),
        hidden_size: int = 128,
        num_layers: int = 2,
        cell: CellName = "lstm",
        dropout: float = 0.0,
        num_masks: int = 0,
        max_masked_mels: int = 8,
        max_masked_frames: int = 20,
        max_speed_change: float = 0.0,
    ) -> None:
        super().__init__()
        self.speed = SpeedPerturbation(max_speed_change)
        self.features = LogMel(sample_rate_hz, num_mels, window_s, hop_s)
        self.masking = SpectrogramMasking(num_masks, max_masked_mels, num_masks, max_masked_frames)
        sizes, bands = [1, *num_filters], num_mels
        self.convolutions = nn.ModuleList()
        for before, after in zip(sizes, num_filters, strict=False):
            self.convolutions.append(
                ConvolutionLayer(before, after, 3, stride=2, padding=1, norm="batch", activation="relu")
            )
            bands = (bands + 1) // 2
        # So much silence behind the batch that two frames are left of any sound: an exported program takes an
        # axis of one for one that never changes.
        self.silence = 2 * self.features.hop * 2 ** len(num_filters)
        self.layers, width = recurrent_layers(cell, "both", sizes[-1] * bands, hidden_size, num_layers)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, num_labels)

    def forward(
        self, sounds: Float[Tensor, "batch time"], length: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch frames labels"], Int[Tensor, " batch"]]:
        """Logits of each frame, and how many frames each sound has.

        Args:
            sounds: in -1..1.
            length: samples of each; None = all.
        """
        if length is None:
            length = torch.full_like(sounds[:, 0], sounds.shape[1], dtype=torch.int64)
        sounds, samples = self.speed(sounds, length)
        frames = self.features.num_frames(samples)
        sounds = functional.pad(sounds, (0, self.silence))
        features = self.masking(normalised(self.features(sounds, samples), frames), frames)
        maps = features[:, None]
        for convolution in self.convolutions:
            maps, frames = convolution(maps), (frames + 1) // 2
            maps = maps * kept(frames, maps[:, 0])[:, None, :, None]  # beside a sound are zeros, as around
        steps = maps.transpose(1, 2).flatten(2)
        return self.output(self.dropout(through_layers(self.layers, steps, frames, self.dropout))), frames


def normalised(
    features: Float[Tensor, "batch frames bands"], frames: Int[Tensor, " batch"]
) -> Float[Tensor, "batch frames bands"]:
    """Each band of each sample brought to mean 0 and deviation 1 over its frames; 0 in the padding.

    Args:
        features: of every frame.
        frames: of each sample.
    """
    keep = kept(frames, features)[:, :, None]
    count = frames[:, None, None].clamp(1)
    centred = (features - (features * keep).sum(dim=1, keepdim=True) / count) * keep
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    return centred / (deviation + 1e-3)
